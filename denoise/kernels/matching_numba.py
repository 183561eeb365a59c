"""Compiled loops of block matching on a CPU; `matching.py` calls them."""

from __future__ import annotations

import numpy as np

from denoise.kernels.loops import compile_loop


@compile_loop
def _sink(distances, numbers, place, count):
    """Let the entry at `place` of a heap sink below those that are farther, or as far and later."""
    distance, number = distances[place], numbers[place]
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        other = child + 1
        if other < count and (
            distances[other] > distances[child]
            or (distances[other] == distances[child] and numbers[other] > numbers[child])
        ):
            child = other
        if distances[child] < distance or (
            distances[child] == distance and numbers[child] < number
        ):
            break
        distances[place], numbers[place] = distances[child], numbers[child]
        place = child
    distances[place], numbers[place] = distance, number


@compile_loop
def _keep(distances, numbers, count, distance, number):
    """Put an entry into the heap of the nearest, the farthest of which is on top; its new size.

    Numbers come in rising order: among equally far ones, the first come is kept.
    """
    if count < len(distances):
        distances[count], numbers[count] = distance, number
        count += 1
        if count == len(distances):
            for place in range(count // 2 - 1, -1, -1):
                _sink(distances, numbers, place, count)
    elif distance < distances[0]:
        distances[0], numbers[0] = distance, number
        _sink(distances, numbers, 0, count)
    return count


@compile_loop
def _distances(pilot, size, row, column, other_row, first, last, found):
    """Squared distances of a patch to those that start at `first` ... `last` of another row."""
    found[: last - first + 1] = 0
    for i in range(size):
        for j in range(size):
            value = pilot[row + i, column + j]
            others = pilot[other_row + i, first + j : last + j + 1]
            for x in range(last - first + 1):
                difference = others[x] - value
                found[x] += difference * difference


@compile_loop
def match(pilot, size, window, rows, columns, numbers):
    """Numbers of the M nearest patches of each reference patch, nearest first.

    Parameters
    ----------
    pilot : (height, width) float32
    size, window : as for `matching.match_patches`
    rows, columns : of the reference patches
    numbers : (len(rows) · len(columns), M) int64, output; M patches lie within every window
    """
    last_row, last_column = pilot.shape[0] - size, pilot.shape[1] - size
    group_size = numbers.shape[1]
    nearest = np.empty(group_size, np.float32)
    found = np.empty(last_column + 1, np.float32)
    group = 0
    for row in rows:
        for column in columns:
            own, count = numbers[group], 0
            group += 1
            first, last = max(column - window, 0), min(column + window, last_column)
            for other_row in range(max(row - window, 0), min(row + window, last_row) + 1):
                _distances(pilot, size, row, column, other_row, first, last, found)
                if other_row == row:
                    found[column - first] = -1  # a patch is nearest to itself
                number = other_row * (last_column + 1) + first
                for x in range(last - first + 1):
                    count = _keep(nearest, own, count, found[x], number + x)
            for end in range(group_size - 1, 0, -1):
                nearest[0], nearest[end] = nearest[end], nearest[0]
                own[0], own[end] = own[end], own[0]
                _sink(nearest, own, 0, end)
