"""Compiled loops of the group filters on a CPU; `group_filters.py` calls them.

Matrices have rows of a multiple of LANES values, and a multiple of four rows where sums run over
rows; what is beyond their own size is zero. Loops take two rows of the result and four terms of
the sum at a time, which keeps a CPU's vector units busy.
"""

from __future__ import annotations

import numpy as np

from denoise.kernels.machine_code import compile_loop, part_of_loop

# Values of a vector register.
LANES = 8


@part_of_loop
def _multiply_transposed(left, right, out):
    """out = leftᵀ right, for (M, K) and (M, K)."""
    for i in range(0, len(out), 2):
        row, next_row = out[i], out[i + 1]
        row[:] = 0
        next_row[:] = 0
        for m in range(0, len(left), 4):
            a, b, c, d = left[m, i], left[m + 1, i], left[m + 2, i], left[m + 3, i]
            e, f = left[m, i + 1], left[m + 1, i + 1]
            g, h = left[m + 2, i + 1], left[m + 3, i + 1]
            r, s, t, u = right[m], right[m + 1], right[m + 2], right[m + 3]
            for j in range(len(row)):
                row[j] += a * r[j] + b * s[j] + c * t[j] + d * u[j]
                next_row[j] += e * r[j] + f * s[j] + g * t[j] + h * u[j]


@part_of_loop
def _add_product(left, matrix, out):
    """out += left matrix, for (M, K) and (K', K)."""
    for m in range(0, len(left), 2):
        row, next_row, x, y = out[m], out[m + 1], left[m], left[m + 1]
        for i in range(0, len(matrix), 4):
            a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
            e, f, g, h = y[i], y[i + 1], y[i + 2], y[i + 3]
            r, s, t, u = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
            for j in range(len(row)):
                row[j] += a * r[j] + b * s[j] + c * t[j] + d * u[j]
                next_row[j] += e * r[j] + f * s[j] + g * t[j] + h * u[j]


@part_of_loop
def _eliminate(matrix, first):
    """Gauss-Jordan elimination of four columns within the four rows of the same numbers."""
    for k in range(first, first + 4):
        row = matrix[k]
        scale = matrix.dtype.type(1) / row[k]
        row[k] = 1
        for j in range(len(row)):
            row[j] *= scale
        for i in range(first, first + 4):
            if i != k:
                other = matrix[i]
                factor = other[k]
                other[k] = 0
                for j in range(len(row)):
                    other[j] -= factor * row[j]


@part_of_loop
def _invert(matrix):
    """Inverse of a positive definite matrix in its own place, four rows and columns at a time."""
    for first in range(0, len(matrix), 4):
        _eliminate(matrix, first)
        r, s, t, u = matrix[first], matrix[first + 1], matrix[first + 2], matrix[first + 3]
        for i in range(0, len(matrix), 2):
            if first <= i < first + 4:
                continue
            row, next_row = matrix[i], matrix[i + 1]
            a, b, c, d = row[first], row[first + 1], row[first + 2], row[first + 3]
            e, f, g, h = (
                next_row[first],
                next_row[first + 1],
                next_row[first + 2],
                next_row[first + 3],
            )
            for j in range(first, first + 4):
                row[j] = next_row[j] = 0
            for j in range(len(row)):
                row[j] -= a * r[j] + b * s[j] + c * t[j] + d * u[j]
                next_row[j] -= e * r[j] + f * s[j] + g * t[j] + h * u[j]


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
    width, rows = -(-values // LANES) * LANES, -(-values // 4) * 4
    members = -(-count // 4) * 4
    number = data.dtype.type
    x, y = np.zeros((members, width), data.dtype), np.zeros((members, width), data.dtype)
    estimates = np.zeros((members, width), data.dtype)
    inverse, within = np.zeros((rows, width), data.dtype), np.zeros((rows, width), data.dtype)
    cross, across = np.zeros((rows, width), data.dtype), np.zeros((rows, width), data.dtype)
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
        _multiply_transposed(x, x, inverse)
        largest = number(0)
        for i in range(values):
            largest = max(largest, inverse[i, i])
        d = max(ridge[group], number(least_ridge) * largest)
        for i in range(rows):
            inverse[i, i] += d
        _invert(inverse)
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
