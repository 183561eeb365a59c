"""Triton kernel of the low-rank filter; `group_filters.py` launches it."""

from __future__ import annotations

import triton
import triton.language as tl

# Rotations end when no entry off the diagonal is above this share of the trace.
_CONVERGED = tl.constexpr(1e-6)
# Some eight sweeps are enough in float32.
_MOST_SWEEPS = tl.constexpr(16)


@triton.jit
def _eigen(matrix, K: tl.constexpr):
    """Eigenvalues (K,) and eigenvectors (K, K), in columns, of a symmetric matrix (K, K).

    Jacobi's method: in round r, each row i is turned against row i ^ r, all pairs at once.
    """
    i = tl.arange(0, K)
    eye = i[:, None] == i[None, :]
    vectors = tl.where(eye, 1.0, 0.0).to(matrix.dtype)
    trace = tl.sum(tl.sum(tl.where(eye, matrix, 0), 1), 0)
    left, sweeps = trace, 0
    while (left > _CONVERGED * trace) & (sweeps < _MOST_SWEEPS):
        for turn in range(1, K):
            partner = i ^ turn
            pairs = i[None, :] == partner[:, None]
            own = tl.sum(tl.where(eye, matrix, 0), 1)
            other = tl.sum(tl.where(pairs, tl.sum(tl.where(eye, matrix, 0), 0)[None, :], 0), 1)
            # Both rows of a pair must see the same entry, or the turn is no rotation.
            upper = tl.where(i[:, None] < i[None, :], matrix, 0)
            shared = tl.sum(tl.where(pairs, upper + tl.trans(upper), 0), 1)
            ratio = (other - own) / (2 * tl.where(shared == 0, 1, shared))
            ahead = (ratio > 0) | ((ratio == 0) & (i < partner))
            tangent = tl.where(ahead, 1.0, -1.0) / (tl.abs(ratio) + tl.sqrt(1 + ratio * ratio))
            tangent = tl.where(shared == 0, 0, tangent).to(matrix.dtype)
            cosine = 1 / tl.sqrt(1 + tangent * tangent)
            sine = tangent * cosine
            across = tl.broadcast_to(partner[:, None], [K, K])
            along = tl.broadcast_to(partner[None, :], [K, K])
            moved = tl.gather(matrix, across, 0)
            matrix = cosine[:, None] * matrix - sine[:, None] * moved
            moved = tl.gather(matrix, along, 1)
            matrix = cosine[None, :] * matrix - sine[None, :] * moved
            moved = tl.gather(vectors, along, 1)
            vectors = cosine[None, :] * vectors - sine[None, :] * moved
        left = tl.max(tl.max(tl.where(eye, 0, tl.abs(matrix)), 1), 0)
        sweeps += 1
    return tl.sum(tl.where(eye, matrix, 0), 0), vectors


@triton.jit
def _rows(patches, group, row, d, group_size, values):
    """Patches number `row` of a group: (R, K)."""
    there = (row < group_size)[:, None] & (d < values)[None, :]
    places = (group * group_size + row)[:, None] * values + d[None, :]
    return tl.load(patches + places, mask=there, other=0)


@triton.jit
def _centred(patches, group, row, d, group_size, values, mean):
    """The same without the mean of the group."""
    rows = _rows(patches, group, row, d, group_size, values)
    return tl.where((row < group_size)[:, None], rows - mean[None, :], 0)


@triton.jit
def low_rank(
    patches,
    noise,
    estimates,
    weights,
    group_size,
    values,
    threshold,
    BLOCK_M: tl.constexpr,
    K: tl.constexpr,
):
    """Shrink the singular values of one group, as `group_filters.low_rank_filter`.

    Parameters
    ----------
    patches, estimates : (B, M, D) float; the second is the output
    noise, weights : (B,) float; the second is the output
    group_size, values : M and D
    threshold : 8 sqrt(2 M), what the noise variance is multiplied by
    BLOCK_M, K : powers of two from 16 on; patches handled at a time, and at least D
    """
    group = tl.program_id(0).to(tl.int64)
    m, d = tl.arange(0, BLOCK_M), tl.arange(0, K)
    total = tl.zeros([K], noise.dtype.element_ty)
    for start in range(0, group_size, BLOCK_M):
        total += tl.sum(_rows(patches, group, start + m, d, group_size, values), 0)
    mean = total / group_size
    gram = tl.zeros([K, K], total.dtype)
    for start in range(0, group_size, BLOCK_M):
        centred = _centred(patches, group, start + m, d, group_size, values, mean)
        gram += tl.dot(tl.trans(centred), centred, input_precision="ieee", out_dtype=total.dtype)
    squares, vectors = _eigen(gram, K)
    level = tl.load(noise + group)
    bound = threshold * level * level
    squares = tl.maximum(squares, 1e-12)
    factors = 0.5 + 0.5 * tl.sqrt(tl.maximum(1 - bound / squares, 0))
    factors = tl.where((squares > bound) & (d < values), factors, 0)
    turned = vectors * factors[None, :]
    shrink = tl.dot(turned, tl.trans(vectors), input_precision="ieee", out_dtype=total.dtype)
    for start in range(0, group_size, BLOCK_M):
        centred = _centred(patches, group, start + m, d, group_size, values, mean)
        shrunk = tl.dot(centred, shrink, input_precision="ieee", out_dtype=total.dtype)
        row = start + m
        places = (group * group_size + row)[:, None] * values + d[None, :]
        there = (row < group_size)[:, None] & (d < values)[None, :]
        tl.store(estimates + places, mean[None, :] + shrunk, mask=there)
    tl.store(weights + group, 1 / (1 + tl.sum(factors * factors, 0)))
