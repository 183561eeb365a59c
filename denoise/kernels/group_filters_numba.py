"""Compiled loops of the group filters on a CPU; `group_filters.py` calls them.

Matrices have a multiple of LANES rows and of LANES columns, tile by tile; what is beyond their own
size is zero.
"""

from __future__ import annotations

import numpy as np

from denoise.kernels.machine_code import compile_loop, part_of_loop
from denoise.kernels.tiles_numba import (
    LANES,
    add_product,
    add_transposed_product,
    eliminate,
    elimination,
    load_tile,
    store_tile,
    transposed,
    zero_tile,
)


@part_of_loop
def _gram(patches, out):
    """out = patchesᵀ patches, for (M, K): tiles up to the diagonal, and their mirror images."""
    for i in range(0, len(out), LANES):
        for j in range(0, i + LANES, LANES):
            tile = zero_tile(out)
            for m in range(0, len(patches), LANES):
                tile = add_transposed_product(tile, patches, m, i, patches, m, j)
            store_tile(out, i, j, tile)
            store_tile(out, j, i, transposed(tile))


@part_of_loop
def _multiply_transposed(left, right, out):
    """out = leftᵀ right, for (M, K) and (M, K)."""
    for i in range(0, len(out), LANES):
        for j in range(0, len(out), LANES):
            tile = zero_tile(out)
            for m in range(0, len(left), LANES):
                tile = add_transposed_product(tile, left, m, i, right, m, j)
            store_tile(out, i, j, tile)


@part_of_loop
def _add_product(left, matrix, out):
    """out += left matrix, for (M, K) and (K, K)."""
    for m in range(0, len(left), LANES):
        for j in range(0, len(matrix), LANES):
            tile = load_tile(out, m, j)
            for i in range(0, len(matrix), LANES):
                tile = add_product(tile, left, m, i, matrix, i, j)
            store_tile(out, m, j, tile)


@part_of_loop
def _invert(matrix, minus_one, factors, pivots):
    """Inverse of a positive definite matrix (K, K) in its own place, LANES rows at a time.

    Gauss-Jordan elimination; to use the symmetry of what is left would lose two digits.
    `minus_one` (LANES, LANES) is minus the identity; `factors` (LANES, LANES) and `pivots`
    (LANES, K), which are minus the rows that have been scaled, are overwritten.
    """
    for first in range(0, len(matrix), LANES):
        store_tile(factors, 0, 0, elimination(load_tile(matrix, first, first)))
        for j in range(0, len(matrix), LANES):
            tile = eliminate(load_tile(matrix, first, j), factors)
            store_tile(pivots, 0, j, tile)
        for k in range(LANES):
            for j in range(len(matrix)):
                pivots[k, j] = -pivots[k, j]
        store_tile(pivots, 0, first, eliminate(load_tile(minus_one, 0, 0), factors))
        for i in range(0, len(matrix), LANES):
            if i == first:
                continue
            for j in range(0, len(matrix), LANES):
                if j != first:
                    tile = add_product(load_tile(matrix, i, j), matrix, i, first, pivots, 0, j)
                    store_tile(matrix, i, j, tile)
            tile = add_product(zero_tile(matrix), matrix, i, first, pivots, 0, first)
            store_tile(matrix, i, first, tile)
        for k in range(LANES):
            for j in range(len(matrix)):
                matrix[first + k, j] = -pivots[k, j]


@part_of_loop
def _gather(image, numbers, size, patches, mean):
    """Patches of an image (M, K), and their mean (K,)."""
    columns = image.shape[1] - size + 1
    mean[:] = 0
    for m in range(len(numbers)):
        y, x = numbers[m] // columns, numbers[m] % columns
        for i in range(size):
            for j in range(size):
                patches[m, i * size + j] = image[y + i, x + j]
        for d in range(len(mean)):
            mean[d] += patches[m, d]
    for d in range(len(mean)):
        mean[d] /= len(numbers)


@part_of_loop
def _centre(patches, count, mean):
    """Subtract a mean (K,) from the first `count` patches."""
    for m in range(count):
        for d in range(len(mean)):
            patches[m, d] -= mean[d]


@part_of_loop
def _scatter(estimates, mean, weights, numbers, size, top, columns, total, weight):
    """Add patches to the rows of an image from `top` on."""
    for m in range(len(numbers)):
        y, x = numbers[m] // columns - top, numbers[m] % columns
        for i in range(size):
            for j in range(size):
                d = i * size + j
                total[y + i, x + j] += weights[d] * (estimates[m, d] + mean[d])
                weight[y + i, x + j] += weights[d]


@compile_loop
def filter_band(
    data, pilot, groups, ridge, size, across_patches, least_ridge, least_gain, top, total, weight
):
    """Filter some groups as `group_filters.filter_groups` does, and add up their estimates.

    Parameters
    ----------
    data, pilot : (height, width) float32 or float64
    groups, ridge : (G, M) int64 and (G,) float of the same type
    size : side p of a patch
    across_patches : as for `group_filters.filter_groups`
    least_ridge, least_gain : LEAST_RIDGE and LEAST_GAIN
    top : row of the image that is the first one of the sums
    total, weight : (rows, width) float of that type, to which weighted values and weights are added
    """
    values, count = size * size, groups.shape[1]
    columns = data.shape[1] - size + 1
    width, members = -(-values // LANES) * LANES, -(-count // LANES) * LANES
    number = data.dtype.type
    x, y = np.zeros((members, width), data.dtype), np.zeros((members, width), data.dtype)
    estimates = np.zeros((members, width), data.dtype)
    inverse, within = np.zeros((width, width), data.dtype), np.zeros((width, width), data.dtype)
    cross, across = np.zeros((width, width), data.dtype), np.zeros((width, width), data.dtype)
    minus_one, factors = -np.eye(LANES, dtype=data.dtype), np.zeros((LANES, LANES), data.dtype)
    pivots = np.zeros((LANES, width), data.dtype)
    mean, pilot_mean = np.zeros(width, data.dtype), np.zeros(width, data.dtype)
    weights = np.zeros(width, data.dtype)
    half, least = number(0.5), number(least_gain)
    for group in range(len(groups)):
        numbers = groups[group]
        _gather(pilot, numbers, size, x, pilot_mean)
        _centre(x, count, pilot_mean)
        _gather(data, numbers, size, y, mean)
        if not across_patches:
            for d in range(width):
                mean[d] = pilot_mean[d]
        _centre(y, count, mean)
        _gram(x, inverse)
        largest = number(0)
        for i in range(values):
            largest = max(largest, inverse[i, i])
        d = max(ridge[group], number(least_ridge) * largest)
        for i in range(width):
            inverse[i, i] += d
        _invert(inverse, minus_one, factors, pivots)
        estimates[:] = 0
        if across_patches:
            _multiply_transposed(x, y, cross)
            across[:] = 0
            _add_product(inverse, cross, across)
            across *= half
            _add_product(x, across, estimates)
        # The weights need the gain of the filter within patches.
        share = half if across_patches else number(1)
        weights[:] = 0
        for i in range(values):
            for j in range(width):
                filtered = -d * inverse[i, j]
                if i == j:
                    filtered += number(1)
                weights[j] += filtered * filtered
                within[i, j] = share * filtered
        for j in range(width):
            weights[j] = least / (least + weights[j])
        _add_product(y, within, estimates)
        _scatter(estimates, mean, weights, numbers, size, top, columns, total, weight)
