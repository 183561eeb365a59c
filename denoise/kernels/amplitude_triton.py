"""Triton kernels for the amplitude model on a GPU; `amplitude.py` launches them.

One program does all that a step asks of one patch: the patch's states live in registers from
the first load to the last store. The arithmetic is that of `amplitude_numba.py`, with tensors over
states, latents or both instead of loops.

Sums over patches are added up as whole multiples of 1 / `FIXED_POINT`: integers do not round, so
that their order does not matter.
"""

from __future__ import annotations

import triton
import triton.language as tl

from denoise.kernels import constants
from denoise.kernels.mlp_triton import nan_to_neg_inf

# As fine as float32 where sums reach 8; sums up to 2^43 fit, whatever noise a run accepts.
FIXED_POINT = tl.constexpr(2.0**20)
_LEAST_WEIGHT = tl.constexpr(constants.LEAST_WEIGHT)


@triton.jit
def probe(target):
    """Write a 1, to see whether anything can be launched."""
    tl.store(target, 1.0)


@triton.jit
def _entry(values, index, place):
    """values[place] of a vector with positions `index`."""
    return tl.sum(tl.where(index == place, values, 0), 0)


@triton.jit
def _rounded(values):
    """To the next integer."""
    return tl.floor(values + 0.5).to(tl.int64)


@triton.jit
def _system(gram, own, lists, latents, K: tl.constexpr):
    """M = I + G_zz and c of states (B, K): (B, K, K), (B, K); unused rows are those of I."""
    k = tl.arange(0, K)
    on = lists < latents
    both = on[:, :, None] & on[:, None, :]
    places = lists[:, :, None] * latents + lists[:, None, :]
    matrix = tl.load(gram + places, mask=both, other=0)
    matrix += tl.where(k[:, None] == k[None, :], 1.0, 0.0).to(matrix.dtype)[None, :, :]
    return matrix, tl.load(own + lists, mask=on, other=0)


@triton.jit
def _solve(matrix, right, K: tl.constexpr):
    """M^-1 (B, K, K), M^-1 c (B, K) and the log evidence (B,); Gauss-Jordan without pivoting.

    But for rounding, no pivot is below 1.
    """
    row = tl.arange(0, K)[None, :, None]
    column = tl.arange(0, K)[None, None, :]
    log_determinant = tl.sum(tl.sum(matrix, 2), 1) * 0
    for p in range(K):
        upper = tl.sum(tl.where(row == p, matrix, 0), 1)  # row p: (B, K)
        left = tl.sum(tl.where(column == p, matrix, 0), 2)  # column p
        pivot = tl.maximum(tl.sum(tl.where(row == p, left[:, :, None], 0), 1), 1.0)  # (B, 1)
        log_determinant += tl.sum(tl.log(pivot), 1)
        upper = tl.where(tl.arange(0, K)[None, :] == p, 1.0, upper) / pivot
        kept = tl.where(column == p, 0.0, matrix) - left[:, :, None] * upper[:, None, :]
        matrix = tl.where(row == p, upper[:, None, :], kept)
    means = tl.sum(matrix * right[:, None, :], 2)
    return matrix, means, 0.5 * tl.sum(means * right, 1) - 0.5 * log_determinant


@triton.jit
def _additions(
    gram, own, state, count, inverse, means, latents, K: tl.constexpr, BLOCK_H: tl.constexpr
):
    """Rise of the log likelihood when a latent is switched on: (BLOCK_H,), Schur complement."""
    k = tl.arange(0, K)
    h = tl.arange(0, BLOCK_H)
    inside = h < latents
    rho = tl.load(own + h, mask=inside, other=0)
    v = 1 + tl.load(gram + h * (latents + 1), mask=inside, other=0)
    for i in range(count):
        row = tl.load(gram + _entry(state, k, i) * latents + h, mask=inside, other=0)
        rho -= _entry(means, k, i) * row
        weights = tl.sum(tl.where(k[:, None] == i, inverse, 0), 0)  # row i of M^-1
        explained = _entry(weights, k, i) * row
        for j in range(i):
            other = tl.load(gram + _entry(state, k, j) * latents + h, mask=inside, other=0)
            explained += 2 * _entry(weights, k, j) * other
        v -= row * explained
    v = tl.maximum(v, 1.0)
    return 0.5 * rho * rho / v - 0.5 * tl.log(v)


@triton.jit
def explore(
    projections,
    gram,
    log_odds,
    keys,
    active,
    scores,
    latents,
    size,
    most_active,
    expansions,
    children,
    reach,
    BLOCK_S: tl.constexpr,
    K: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """Score the states of a patch and search on from them, as `best_first.explore`.

    Parameters
    ----------
    projections : (N, H) float
    gram, log_odds : (H, H) and (H,) float
    keys : (H,) int64; the sum of the keys of its latents identifies a state
    active : (N, size, most_active) int16, in and out, likeliest state first
    scores : (N, size) float, in and out, log joint without what all states share; where it
        comes as -inf, the place is empty
    BLOCK_S, K, BLOCK_H : powers of two, at least `size`, `most_active` and `latents`
    """
    n = tl.program_id(0).to(tl.int64)
    s, k, h = tl.arange(0, BLOCK_S), tl.arange(0, K), tl.arange(0, BLOCK_H)
    own = projections + n * latents
    places = active + n * size * most_active + s[:, None] * most_active + k[None, :]
    held = (s[:, None] < size) & (k[None, :] < most_active)
    lists = tl.load(places, mask=held, other=latents).to(tl.int32)  # (BLOCK_S, K)
    points = tl.load(scores + n * size + s, mask=s < size, other=float("-inf"))
    on = lists < latents
    codes = tl.sum(tl.load(keys + lists, mask=on, other=0), 1)

    matrix, right = _system(gram, own, lists, latents, K)
    _inverse, _means, evidence = _solve(matrix, right, K)
    evidence += tl.sum(tl.load(log_odds + lists, mask=on, other=0), 1)
    points = tl.where(points == float("-inf"), points, nan_to_neg_inf(evidence))
    expanded = tl.zeros([BLOCK_S], tl.int32)
    odds = tl.load(log_odds + h, mask=h < latents, other=0)
    codes_of_all = tl.load(keys + h, mask=h < latents, other=0)

    for _expansion in range(expansions):
        waiting = tl.where(points < tl.max(points, 0) - reach, float("-inf"), points)
        waiting = tl.where(expanded == 0, waiting, float("-inf"))
        chosen = tl.argmax(waiting, 0)
        score = tl.max(waiting, 0)
        if score > float("-inf"):
            expanded = tl.where(s == chosen, 1, expanded)
            state = tl.sum(tl.where(s[:, None] == chosen, lists, 0), 0)  # (K,)
            code = _entry(codes, s, chosen)
            count = tl.sum((state < latents).to(tl.int32), 0)
            own_codes = tl.load(keys + state, mask=state < latents, other=0)
            system, terms = _system(gram, own, state[None, :], latents, K)
            solution, mean, _evidence = _solve(system, terms, K)
            inverse = tl.reshape(solution, [K, K])
            means = tl.reshape(mean, [K])

            rise = _additions(gram, own, state, count, inverse, means, latents, K, BLOCK_H)
            adding = nan_to_neg_inf(odds + rise)
            adding = tl.where(h < tl.where(count < most_active, latents, 0), adding, float("-inf"))
            for i in range(count):
                adding = tl.where(h == _entry(state, k, i), float("-inf"), adding)
            variances = tl.sum(tl.where(k[:, None] == k[None, :], inverse, 0), 0)
            log_prior = tl.load(log_odds + state, mask=state < latents, other=0)
            removing = -0.5 * means * means / variances - 0.5 * tl.log(variances) - log_prior
            removing = tl.where(k < count, nan_to_neg_inf(removing), float("-inf"))

            for _child in range(children):
                gain_added, gain_removed = tl.max(adding, 0), tl.max(removing, 0)
                adds = gain_added > gain_removed
                added = tl.where(adds, tl.argmax(adding, 0), -1)
                removed = tl.where(adds, -1, tl.argmax(removing, 0))
                adding = tl.where(h == added, float("-inf"), adding)
                removing = tl.where(k == removed, float("-inf"), removing)
                # A new latent goes to the end, the last one into a gap.
                last = _entry(state, k, count - 1)
                shrunk = tl.where(k == count - 1, latents, tl.where(k == removed, last, state))
                child = tl.where(adds, tl.where(k == count, added, state), shrunk)
                joined, left = _entry(codes_of_all, h, added), _entry(own_codes, k, removed)
                child_code, child_score = (
                    code + joined - left,
                    score + tl.maximum(gain_added, gain_removed),
                )

                worst = tl.argmin(tl.where(s < size, points, float("inf")), 0)
                same = (codes == child_code) & (points > float("-inf"))
                bar = tl.maximum(
                    _entry(points, s, worst), tl.max(tl.where(same, float("inf"), float("-inf")), 0)
                )
                here = s == tl.where(child_score > bar, worst, -1)
                lists = tl.where(here[:, None], child[None, :], lists)
                codes = tl.where(here, child_code, codes)
                points = tl.where(here, child_score, points)
                expanded = tl.where(here, 0, expanded)

    # The compiler may keep copies of the scores for several layouts, whose sums were rounded in
    # another order; a state could come before itself. Memory holds one copy.
    tl.store(scores + n * size + s, points, mask=s < size)
    tl.debug_barrier()
    points = tl.load(scores + n * size + s, mask=s < size, other=float("-inf"))
    better = points[None, :] > points[:, None]
    earlier = (points[None, :] == points[:, None]) & (s[None, :] < s[:, None])
    rank = tl.sum((better | earlier).to(tl.int32), 1)
    tl.debug_barrier()
    places = active + n * size * most_active + rank[:, None] * most_active + k[None, :]
    tl.store(places, lists.to(tl.int16), mask=held)
    tl.store(scores + n * size + rank, points, mask=s < size)


@triton.jit
def accumulate(
    projections,
    gram,
    active,
    log_joints,
    latent_sums,
    products,
    amplitudes,
    latents,
    size,
    most_active,
    AMPLITUDES_ONLY: tl.constexpr,
    BLOCK_S: tl.constexpr,
    K: tl.constexpr,
):
    """Posterior sums of a patch, in units of 1 / `FIXED_POINT`.

    Parameters
    ----------
    projections, gram, active : as for `explore`
    log_joints : (N, size) float
    latent_sums : (H,) int64, <z> is added
    products : (H, H) int64, <a a^T> is added
    amplitudes : (N, H) int64, <a> of each patch is added
    AMPLITUDES_ONLY : leave the other two alone
    """
    n = tl.program_id(0).to(tl.int64)
    s, k = tl.arange(0, BLOCK_S), tl.arange(0, K)
    places = active + n * size * most_active + s[:, None] * most_active + k[None, :]
    held = (s[:, None] < size) & (k[None, :] < most_active)
    lists = tl.load(places, mask=held, other=latents).to(tl.int32)
    points = tl.load(log_joints + n * size + s, mask=s < size, other=float("-inf"))
    weights = tl.exp(points - tl.max(points, 0))
    weights = tl.where(weights >= _LEAST_WEIGHT, weights, 0)
    weights = weights / tl.sum(weights, 0)

    matrix, right = _system(gram, projections + n * latents, lists, latents, K)
    inverse, means, _ = _solve(matrix, right, K)
    on = (lists < latents) & (weights > 0)[:, None]
    share = weights[:, None] * FIXED_POINT
    own_row = amplitudes + n * latents + lists
    tl.atomic_add(own_row, _rounded(means * share), mask=on, sem="relaxed")
    if not AMPLITUDES_ONLY:
        both = on[:, :, None] & on[:, None, :]
        moments = (inverse + means[:, :, None] * means[:, None, :]) * share[:, :, None]
        pairs = lists[:, :, None] * latents + lists[:, None, :]
        tl.atomic_add(products + pairs, _rounded(moments), mask=both, sem="relaxed")
        ones = tl.zeros_like(means) + 1
        tl.atomic_add(latent_sums + lists, _rounded(ones * share), mask=on, sem="relaxed")
