"""Compiled loops of block matching on a CPU; `matching.py` calls them."""

from __future__ import annotations

import numpy as np

from denoise.kernels.machine_code import compile_loop, part_of_loop

# Pixels of a row that are compared at a time. A constant number of them fills vector registers, and
# the distances of the reference patches among them fit into a CPU's cache.
STRIP = 96
# The largest float32; loops are compiled as if there were no infinity.
FAR = np.float32(np.finfo(np.float32).max)


@part_of_loop
def _strip_distances(padded, size, row, column, other_row, other_column, sums, found):
    """Squared distances of the patches of a strip to those of another one."""
    for x in range(STRIP):
        sums[x] = 0
    for i in range(size):
        own = padded[row + i, column : column + STRIP]
        other = padded[other_row + i, other_column : other_column + STRIP]
        for x in range(STRIP):
            difference = own[x] - other[x]
            sums[x] += difference * difference
    for x in range(STRIP):
        found[x] = sums[x]
    for j in range(1, size):
        moved = sums[j : j + STRIP]
        for x in range(STRIP):
            found[x] += moved[x]


@part_of_loop
def _limit(distances, count):
    """The smallest number, about, that at least `count` distances do not exceed, by bisection.

    More than `count` of them do not exceed it only where some are equal.
    """
    bits = np.empty(1, np.int32)
    as_float = bits.view(np.float32)
    low, high = 0, 0x7F7FFFFF  # the bits of floats from 0 to FAR are ordered as the floats are
    while low < high:
        bits[0] = (low + high) // 2
        limit, found = as_float[0], 0
        for place in range(len(distances)):
            found += distances[place] <= limit
        if found == count:
            return limit
        if found < count:
            low = bits[0] + 1
        else:
            high = bits[0]
    bits[0] = low
    return as_float[0]


@part_of_loop
def _choose(distances, window, row, column, columns, numbers):
    """Numbers of the nearest patches in the window of one reference patch, itself first.

    Of equally far ones, those that come first are taken.
    """
    across = 2 * window + 1
    distances[window * across + window] = FAR
    numbers[0] = row * columns + column
    wanted = len(numbers) - 1
    if wanted == 0:
        return
    limit = _limit(distances, wanted)
    nearer = 0
    for place in range(len(distances)):
        nearer += distances[place] < limit
    equal, count = wanted - nearer, 1
    for place in range(len(distances)):
        if distances[place] <= limit:
            if distances[place] == limit:
                if equal == 0:
                    continue
                equal -= 1
            y, x = row + place // across - window, column + place % across - window
            numbers[count] = y * columns + x
            count += 1


@compile_loop
def match(pilot, size, window, rows, columns, numbers):
    """Numbers of the M nearest patches of each reference patch, itself first.

    Parameters
    ----------
    pilot : (height, width) float32
    size, window : as for `matching.match_patches`; patches are smaller than STRIP
    rows, columns : of the reference patches
    numbers : (len(rows) · len(columns), M) int64, output; M patches lie within every window
    """
    last_row, last_column = pilot.shape[0] - size, pilot.shape[1] - size
    across = 2 * window + 1
    top, bottom = max(rows[0] - window, 0), min(rows[-1] + window, last_row) + size
    padded = np.zeros((bottom - top, pilot.shape[1] + 2 * window + STRIP), np.float32)
    for y in range(top, bottom):
        for x in range(pilot.shape[1]):
            padded[y - top, window + x] = pilot[y, x]
    sums, found = np.zeros(STRIP + size, np.float32), np.empty(STRIP, np.float32)
    distances = np.empty((STRIP - size + 1, across * across), np.float32)
    for r in range(len(rows)):
        row, start = rows[r], 0
        while start < len(columns):
            first, end = columns[start], start
            while end < len(columns) and columns[end] - first <= STRIP - size:
                end += 1
            some = columns[start:end]
            distances[: len(some)] = FAR
            for dy in range(max(-window, -row), min(window, last_row - row) + 1):
                for dx in range(-window, window + 1):
                    _strip_distances(
                        padded,
                        size,
                        row - top,
                        first + window,
                        row + dy - top,
                        first + window + dx,
                        sums,
                        found,
                    )
                    place = (dy + window) * across + dx + window
                    for k in range(len(some)):
                        if 0 <= some[k] + dx <= last_column:
                            distances[k, place] = found[some[k] - first]
            for k in range(len(some)):
                group = r * len(columns) + start + k
                _choose(distances[k], window, row, some[k], last_column + 1, numbers[group])
            start = end
