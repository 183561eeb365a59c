"""Triton kernel that breeds children in the evolutionary search; `evolution.py` launches it.

Parameters are those of `mlp_triton.py` and `evolution_triton.py`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from denoise.kernels.mlp_triton import (
    activated,
    bits_of,
    errors_left,
    log_odds,
    matrix,
    nan_to_neg_inf,
    shared_log_joint,
    vector,
)

# The hash of `vae/randomness.py`.
_CALL, _POSITION = tl.constexpr(0x3C6EF372), tl.constexpr(0x1E3779B9)
_FIRST, _SECOND = tl.constexpr(0x7FEB352D), tl.constexpr(0x846CA68B)


@triton.jit
def _scramble(x):
    """As `randomness._scramble`, of uint32."""
    x ^= x >> 16
    x *= _FIRST
    x ^= x >> 15
    x *= _SECOND
    return x ^ (x >> 16)


@triton.jit
def _gumbel(random_stream, index, call, position):
    """Numbers `position` of call `call`, as `PatchRandom.gumbel`."""
    key = _scramble((random_stream + _POSITION + index).to(tl.uint32))
    key = _scramble(key + (call * _CALL).to(tl.uint32))
    bits = _scramble(key + (position * _POSITION).to(tl.uint32))
    uniform = ((bits >> 9).to(tl.float32) + 0.5) * (1 / 8388608)
    return -tl.log(-tl.log(uniform))


@triton.jit
def _parent(
    scores,
    from_place,
    candidates,
    rank,
    random_stream,
    index,
    call,
    SELECTION: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Place of parent number `rank` among a patch's candidates, as `search.select_parents`."""
    c = tl.arange(0, BLOCK_C)
    fitness = tl.load(scores + from_place + c, mask=c < candidates, other=float("-inf"))
    absent = (fitness == float("-inf")) & (c < candidates)
    if SELECTION == "uniform":
        fitness = tl.where(fitness > float("-inf"), 0.0, fitness)
    if SELECTION == "fitness":
        there = fitness > float("-inf")
        worst = tl.min(tl.where(there, fitness, float("inf")), 0)
        fitness = tl.where(there, tl.log(tl.maximum(fitness - worst, 1e-6)), fitness)
    if SELECTION != "best":
        fitness += _gumbel(random_stream, index, call, c)
    # Absent candidates come last, but before those that have been taken.
    fitness = tl.where(absent, -1e38, fitness)
    for _better in range(rank):
        fitness = tl.where(c == tl.argmax(fitness, 0), float("-inf"), fitness)
    return tl.argmax(fitness, 0)


@triton.jit
def _level_of_one(pool, slot, rows, first, f, latents, hidden, CHUNK: tl.constexpr):
    """Hidden units `f` of the state in one `slot`, before their activation: (BLOCK_F,)."""
    level = vector(first, f, hidden)
    slots = slot + tl.zeros([1], tl.int64)
    for start in range(0, latents, CHUNK):
        h = start + tl.arange(0, CHUNK)
        on = bits_of(pool, slots, h, slots >= 0, latents) == 1  # (1, CHUNK)
        level += tl.sum(tl.where(tl.trans(on), matrix(rows, h, f, latents, hidden), 0), 0)
    return level


@triton.jit
def _flip_gains(
    on,
    logit,
    residual,
    pool,
    parent,
    rows,
    first,
    weights,
    flip_cost,
    variance,
    latents,
    hidden,
    width,
    leak,
    CHUNK: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """As `MLPVAE.flip_gains`, for one state: `on` and `logit` (1, K), `residual` (1, BLOCK_D)."""
    h, d = tl.arange(0, on.shape[1]), tl.arange(0, BLOCK_D)
    gradient = tl.zeros([1, on.shape[1]], residual.dtype)
    for start in range(0, hidden, BLOCK_F):
        f = start + tl.arange(0, BLOCK_F)
        level = _level_of_one(pool, parent, rows, first, f, latents, hidden, CHUNK)
        back = tl.sum(matrix(weights, f, d, hidden, width) * residual, 1)
        back = tl.where(level > 0, back, leak * back)
        row = matrix(rows, h, f, latents, hidden)
        gradient += tl.sum(row * back[None, :], 1)[None, :]
    gain = logit + gradient / variance
    return tl.where(on > 0, -gain, gain) - vector(flip_cost, h, latents)[None, :] / variance


@triton.jit(
    do_not_specialize=[
        "random_stream",
        "select_call",
        "flip_call",
        "from_place",
        "candidates",
        "to_place",
    ]
)
def breed(
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
    index,
    flip_cost,
    random_stream,
    select_call,
    flip_call,
    total,
    from_place,
    candidates,
    to_place,
    parents,
    children,
    latents,
    hidden,
    width,
    leak,
    SELECTION: tl.constexpr,
    GUIDED: tl.constexpr,
    FREE_MEAN: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_B: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """M children of one parent, each with one bit flipped, as `search.breed`.

    Parameters
    ----------
    index : (N,) int64, numbers of the patches, which name their random numbers
    flip_cost : (H,) float, as in `MLPVAE`; read only if GUIDED
    random_stream, select_call, flip_call : name the random numbers too
    from_place, candidates : where in the pool the candidates for parents lie, and how many
    to_place, parents, children : where the P times M children go
    """
    program = tl.program_id(0)
    n, rank = (program // parents).to(tl.int64), program % parents
    m, h, d = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_D)
    own = tl.load(index + n).to(tl.int32)
    parent = n * total + from_place
    parent += _parent(
        scores, parent, candidates, rank, random_stream, own, select_call, SELECTION, BLOCK_C
    )
    slots = parent + tl.zeros([1], tl.int64)
    on = bits_of(pool, slots, h, slots >= 0, latents)  # (1, BLOCK_H)
    on = on.to(rows.dtype.element_ty)
    logit = log_odds(prior, h, latents)[None, :]

    wanted = tl.zeros([1, BLOCK_H], rows.dtype.element_ty)
    if GUIDED:
        mean = vector(last, d, width)[None, :]
        for start in range(0, hidden, BLOCK_F):
            f = start + tl.arange(0, BLOCK_F)
            level = _level_of_one(pool, parent, rows, first, f, latents, hidden, CHUNK)
            weight = matrix(weights, f, d, hidden, width)
            mean += tl.sum(activated(level, leak)[:, None] * weight, 0)[None, :]
        residual = errors_left(mean, values, n, d, width, FREE_MEAN)
        wanted = _flip_gains(
            on, logit, residual, pool, parent, rows, first, weights, flip_cost,
            tl.load(variance), latents, hidden, width, leak, CHUNK, BLOCK_F, BLOCK_D,
        )  # fmt: skip
    wanted += _gumbel(random_stream, own, flip_call, rank * latents + h)[None, :]
    wanted = tl.sum(tl.where((h < latents)[None, :], nan_to_neg_inf(wanted), float("-inf")), 0)
    state = tl.sum(on, 0)
    flipped = tl.zeros([BLOCK_M], tl.int32)
    sign = tl.zeros([BLOCK_M], rows.dtype.element_ty)
    for child in range(children):
        best = tl.argmax(wanted, 0)
        wanted = tl.where(h == best, float("-inf"), wanted)
        flipped = tl.where(m == child, best, flipped)
        sign = tl.where(m == child, 1 - 2 * tl.sum(tl.where(h == best, state, 0), 0), sign)

    bias = vector(last, d, width)
    means = tl.zeros([BLOCK_M, BLOCK_D], bias.dtype) + bias[None, :]
    for start in range(0, hidden, BLOCK_F):
        f = start + tl.arange(0, BLOCK_F)
        level = _level_of_one(pool, parent, rows, first, f, latents, hidden, CHUNK)
        change = matrix(rows, flipped, f, latents, hidden)
        active = activated(level[None, :] + sign[:, None] * change, leak)
        weight = matrix(weights, f, d, hidden, width)
        means += tl.dot(active, weight, input_precision="ieee", out_dtype=bias.dtype)
    errors = errors_left(means, values, n, d, width, FREE_MEAN)
    points = shared_log_joint(prior, variance, latents, width, FREE_MEAN, BLOCK_H)
    points -= tl.sum(errors * errors, 1) / (2 * tl.load(variance))
    points += tl.sum(tl.sum(on * logit, 1), 0) + sign * log_odds(prior, flipped, latents)
    key = vector(keys, flipped, latents)
    code = tl.load(codes + parent) + tl.where(sign > 0, key, -key)

    places = n * total + to_place + rank * children + m
    b = tl.arange(0, BLOCK_B)
    stride = (latents + 7) // 8
    bytes = tl.load(pool + parent * stride + b, mask=b < stride, other=0)[None, :]
    switch = tl.where(b[None, :] == (flipped // 8)[:, None], 1 << (flipped % 8)[:, None], 0)
    made = (m < children)[:, None] & (b < stride)[None, :]
    tl.store(pool + places[:, None] * stride + b[None, :], bytes ^ switch.to(tl.uint8), mask=made)
    tl.store(codes + places, code, mask=m < children)
    tl.store(scores + places, nan_to_neg_inf(points), mask=m < children)
