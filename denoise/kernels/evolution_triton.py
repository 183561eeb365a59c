"""Triton kernels of the evolutionary search with an MLP; `evolution.py` launches them.

`score` evaluates the states, `breed` (`breeding_triton.py`) makes and evaluates the children of one
parent, `drop_repeats` and `keep_best` leave the S best distinct states. Nothing but packed states,
their codes and log joints lies in memory between them.

Parameters beside those of `mlp_triton.py`:

    codes, scores            (N, T) int64 and (N, T) float: sums of the keys of the latents, which
                             tell states apart, and log joints
    prior, keys              (H,) float and int64, pi and random numbers
"""

from __future__ import annotations

import triton
import triton.language as tl

from denoise.kernels.mlp_triton import (
    bits_of,
    errors_of,
    log_odds,
    nan_to_neg_inf,
    shared_log_joint,
    vector,
)


@triton.jit
def score(
    pool,
    codes,
    scores,
    values,
    rows,
    first,
    weights,
    last,
    prior,
    keys,
    variance,
    total,
    size,
    latents,
    hidden,
    width,
    leak,
    FREE_MEAN: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Codes and log joints of some of a patch's S states; where a score is -inf, it stays so."""
    n = tl.program_id(0).to(tl.int64)
    s = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S)
    slots, held = n * total + s, s < size
    errors = errors_of(
        pool, slots, held, values, n, rows, first, weights, last,
        latents, hidden, width, leak, FREE_MEAN, BLOCK_H, BLOCK_F, BLOCK_D,
    )  # fmt: skip
    points = shared_log_joint(prior, variance, latents, width, FREE_MEAN, BLOCK_H)
    points -= tl.sum(errors * errors, 1) / (2 * tl.load(variance))
    code = tl.zeros([BLOCK_S], tl.int64)
    for start in range(0, latents, BLOCK_H):
        h = start + tl.arange(0, BLOCK_H)
        on = bits_of(pool, slots, h, held, latents) == 1
        points += tl.sum(tl.where(on, log_odds(prior, h, latents)[None, :], 0), 1)
        code += tl.sum(tl.where(on, vector(keys, h, latents)[None, :], 0), 1)
    before = tl.load(scores + slots, mask=held, other=0)
    points = tl.where(before == float("-inf"), before, nan_to_neg_inf(points))
    tl.store(scores + slots, points, mask=held)
    tl.store(codes + slots, code, mask=held)


@triton.jit
def drop_repeats(codes, scores, total, BLOCK_S: tl.constexpr, BLOCK_T: tl.constexpr):
    """Give the places of a patch's pool that repeat an earlier one the score -inf."""
    n = tl.program_id(0).to(tl.int64)
    s, t = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S), tl.arange(0, BLOCK_T)
    own = tl.load(codes + n * total + s, mask=s < total, other=0)
    others = tl.load(codes + n * total + t, mask=t < total, other=0)
    # An empty place has no code, only its score.
    score = tl.load(scores + n * total + t, mask=t < total, other=float("-inf"))
    earlier = (t[None, :] < s[:, None]) & (score > float("-inf"))[None, :]
    same = (own[:, None] == others[None, :]) & earlier
    repeated = tl.max(same.to(tl.int32), 1) == 1
    tl.store(scores + n * total + s, float("-inf"), mask=repeated & (s < total))


@triton.jit
def keep_best(
    pool,
    codes,
    scores,
    new_pool,
    new_codes,
    new_scores,
    total,
    size,
    latents,
    BLOCK_S: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_B: tl.constexpr,
):
    """Put the S best places of a patch's pool, best first, to the start of the new one."""
    n = tl.program_id(0).to(tl.int64)
    s, t = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S), tl.arange(0, BLOCK_T)
    own = tl.load(scores + n * total + s, mask=s < total, other=float("-inf"))
    others = tl.load(scores + n * total + t, mask=t < total, other=float("-inf"))
    better = others[None, :] > own[:, None]
    earlier = (others[None, :] == own[:, None]) & (t[None, :] < s[:, None])
    rank = tl.sum((better | earlier).to(tl.int32), 1)
    kept = (rank < size) & (s < total)
    tl.store(new_scores + n * total + rank, own, mask=kept)
    code = tl.load(codes + n * total + s, mask=kept, other=0)
    tl.store(new_codes + n * total + rank, code, mask=kept)
    stride = (latents + 7) // 8
    b = tl.arange(0, BLOCK_B)[None, :]
    both = kept[:, None] & (b < stride)
    bytes = tl.load(pool + (n * total + s)[:, None] * stride + b, mask=both, other=0)
    tl.store(new_pool + (n * total + rank)[:, None] * stride + b, bytes, mask=both)
