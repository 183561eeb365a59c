"""Compiled loop of the posterior variances of patches under the amplitude model on a CPU."""

from __future__ import annotations

import numpy as np

from denoise.kernels.gram_numba import (
    count_active,
    fill_rows,
    is_complete,
    look_at,
    share_out,
    solve,
)
from denoise.kernels.machine_code import compile_loop, part_of_loop


@part_of_loop
def _look_at_rows(state, count, observed, n, directions, free_mean, rows):
    """Rows of W of the latents that are on, less their means over what the patch shows."""
    values = rows.shape[1]
    for i in range(count):
        mean, seen = np.float32(0), np.float32(0)
        for d in range(values):
            shown = len(observed) == 0 or observed[n, d] != 0
            seen += np.float32(shown)
            mean += directions[state[i], d] * np.float32(shown)
        if not free_mean or seen == 0:
            mean, seen = np.float32(0), np.float32(1)
        for d in range(values):
            rows[i, d] = directions[state[i], d] - mean / seen


@compile_loop
def spread(
    projections,
    gram,
    observed,
    vectors,
    free_mean,
    directions,
    active,
    weights,
    means,
    variances,
):
    """Mean squares of W^T a less `means` under the truncated posterior, in units of sigma.

    Parameters
    ----------
    projections, gram, observed, vectors, free_mean, active, weights : as for `accumulate`
    directions : (H, D), W in units of sigma
    means : (N, D), <W^T a> in units of sigma, less its mean over what is observed if that is fitted
    variances : (N, D), output
    """
    patches, size, max_active = active.shape
    number, values = directions.shape
    inverse = np.empty((max_active, max_active), np.float32)
    amplitudes = np.empty(max_active, np.float32)
    rows = np.empty((max_active, values), np.float32)
    own_gram = np.empty((number if len(observed) > 0 else 0, number), np.float32)
    sums, lengths = np.empty(number, np.float32), np.empty(number, np.float32)
    known, shares = np.empty(number, np.bool_), np.empty(size, np.float32)
    work = np.empty(values, np.float32)
    for n in range(patches):
        share_out(weights[n], shares)
        complete = is_complete(observed, n)
        own = gram if complete else own_gram
        if not complete:
            look_at(observed[n], vectors, free_mean, sums, lengths, known)
        variances[n] = 0
        for s in range(size):
            if shares[s] == 0:
                continue
            state, weight = active[n, s], shares[s]
            count = count_active(state, number)
            if not complete:
                fill_rows(state, count, observed[n], vectors, sums, known, own_gram)
            solve(state, count, own, projections[n], inverse, amplitudes)
            _look_at_rows(state, count, observed, n, directions, free_mean, rows)
            for d in range(values):
                work[d] = -means[n, d]
            for i in range(count):
                for d in range(values):
                    work[d] += amplitudes[i] * rows[i, d]
            for d in range(values):
                variances[n, d] += weight * work[d] * work[d]
            for i in range(count):
                work[:] = 0
                for j in range(count):
                    for d in range(values):
                        work[d] += inverse[i, j] * rows[j, d]
                for d in range(values):
                    variances[n, d] += weight * work[d] * rows[i, d]
