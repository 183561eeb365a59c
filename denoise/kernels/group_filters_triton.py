"""Triton kernel of the group filters; `group_filters.py` launches it."""

from __future__ import annotations

import triton
import triton.language as tl


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
def _mean(patches, group, d, group_size, values, BLOCK_M: tl.constexpr):
    m = tl.arange(0, BLOCK_M)
    total = tl.sum(_rows(patches, group, m, d, group_size, values), 0)
    for start in range(BLOCK_M, group_size, BLOCK_M):
        total += tl.sum(_rows(patches, group, start + m, d, group_size, values), 0)
    return total / group_size


@triton.jit
def _inverse(matrix, size, K: tl.constexpr):
    """Inverse of the first `size` rows and columns, by Gauss-Jordan elimination: (K, K).

    The matrix is positive definite and 0 elsewhere.
    """
    i = tl.arange(0, K)
    for k in range(size):
        here = i == k
        row = tl.sum(tl.where(here[:, None], matrix, 0), 0)
        column = tl.sum(tl.where(here[None, :], matrix, 0), 1)
        scale = 1 / tl.sum(tl.where(here, row, 0), 0)
        row = tl.where(here, 1, row) * scale
        matrix = tl.where(here[None, :], 0, matrix) - tl.where(here, 0, column)[:, None] * row
        matrix = tl.where(here[:, None], row[None, :], matrix)
    return matrix


@triton.jit
def filter_group(
    data,
    pilot,
    ridge,
    estimates,
    weights,
    group_size,
    values,
    least_ridge,
    least_gain,
    ACROSS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    K: tl.constexpr,
):
    """Filter one group, as `group_filters.filter_groups`.

    Parameters
    ----------
    data, pilot, estimates : (B, M, D) float; the last is an output
    ridge : (B,) float
    weights : (B, D) float, output
    group_size, values : M and D
    least_ridge, least_gain : LEAST_RIDGE and LEAST_GAIN
    ACROSS : `across_patches`
    BLOCK_M, K : powers of two from 16 on; patches handled at a time, and at least D
    """
    group = tl.program_id(0).to(tl.int64)
    m, d = tl.arange(0, BLOCK_M), tl.arange(0, K)
    middle = _mean(pilot, group, d, group_size, values, BLOCK_M)
    mean = middle
    if ACROSS:
        mean = _mean(data, group, d, group_size, values, BLOCK_M)
    gram, cross = tl.zeros([K, K], mean.dtype), tl.zeros([K, K], mean.dtype)
    for start in range(0, group_size, BLOCK_M):
        x = tl.trans(_centred(pilot, group, start + m, d, group_size, values, middle))
        y = _centred(data, group, start + m, d, group_size, values, mean)
        gram += tl.dot(x, tl.trans(x), input_precision="ieee", out_dtype=mean.dtype)
        cross += tl.dot(x, y, input_precision="ieee", out_dtype=mean.dtype)
    eye = (d[:, None] == d[None, :]) & (d < values)[None, :]
    largest = tl.max(tl.max(tl.where(eye, gram, 0), 1), 0)
    level = tl.maximum(tl.load(ridge + group), least_ridge * largest).to(mean.dtype)
    inverse = _inverse(gram + tl.where(eye, level, 0), values, K)
    across = tl.dot(inverse, cross, input_precision="ieee", out_dtype=mean.dtype)
    within = tl.where(eye, 1, 0) - level * inverse
    gain = tl.sum(within * within, 0)
    tl.store(weights + group * values + d, least_gain / (least_gain + gain), mask=d < values)
    for start in range(0, group_size, BLOCK_M):
        row = start + m
        x = _centred(pilot, group, row, d, group_size, values, middle)
        y = _centred(data, group, row, d, group_size, values, mean)
        found = tl.dot(y, within.to(mean.dtype), input_precision="ieee", out_dtype=mean.dtype)
        if ACROSS:
            found += tl.dot(x, across, input_precision="ieee", out_dtype=mean.dtype)
            found = found / 2
        places = (group * group_size + row)[:, None] * values + d[None, :]
        there = (row < group_size)[:, None] & (d < values)[None, :]
        tl.store(estimates + places, mean[None, :] + found, mask=there)
