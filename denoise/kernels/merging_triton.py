"""Triton kernel that adds up patches; `merging.py` launches it."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["count"])
def merge(
    patches,
    first,
    offsets,
    weights,
    weights_row,
    weights_column,
    values,
    totals,
    broken,
    limit,
    count,
    size,
    BITS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Add some patches to the sums of their pixels.

    Parameters
    ----------
    patches, weights : (N, D) float; the weights lie `weights_row` and `weights_column` apart
    first, offsets : (N,) and (D,) int64, whose sums are the places in the flat image
    values, totals : flat images of int64, weighted values in units of `limit` / 2^BITS, and
        weights in units of 1 / 2^BITS
    broken : flat image of uint8, set to 1 where a value is infinite or NaN
    limit : () float64, values beyond it are cut off
    count, size : N and D
    BLOCK_N, BLOCK_D : powers of two; patches of a program, and at least D
    """
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.arange(0, BLOCK_D)
    start = tl.load(first + n, mask=n < count, other=0)
    place = start[:, None] + tl.load(offsets + d, mask=d < size, other=0)[None, :]
    there = (n < count)[:, None] & (d < size)[None, :]
    value = tl.load(patches + n[:, None] * size + d[None, :], mask=there, other=0).to(tl.float64)
    lies = n[:, None] * weights_row + d[None, :] * weights_column
    weight = tl.load(weights + lies, mask=there, other=0).to(tl.float64)
    most = tl.load(limit)
    finite = tl.abs(value) < float("inf")
    tl.store(broken + place, 1, mask=there & (finite == 0))
    value = tl.where(finite, tl.minimum(tl.maximum(value, -most), most), 0)
    share = tl.floor(value / most * weight * 2.0**BITS + 0.5).to(tl.int64)
    tl.atomic_add(values + place, share, mask=there, sem="relaxed")
    whole = tl.floor(weight * 2.0**BITS + 0.5).to(tl.int64)
    tl.atomic_add(totals + place, whole, mask=there, sem="relaxed")
