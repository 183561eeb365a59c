"""Compiled loop of the posterior sums of the amplitude model on a CPU; `amplitude.py` calls it."""

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
def _complete(state, count, moments, observed, vectors, sums, completion):
    """Add <a a^T> times what a patch does not show of W: missing values, and a free mean."""
    values = np.float32(0)
    for d in range(len(observed)):
        values += observed[d]
    scale = np.float32(0)
    if values > 0:
        scale = np.float32(1) / np.sqrt(values)
    for j in range(count):
        mean = sums[state[j]] * scale
        for i in range(count):
            moment, row = moments[i, j], completion[state[i]]
            for d in range(len(observed)):
                row[d] += moment * (mean if observed[d] != 0 else vectors[d, state[j]])


@compile_loop
def accumulate(
    projections,
    gram,
    observed,
    vectors,
    free_mean,
    active,
    weights,
    latents,
    products,
    amplitudes,
    completion,
):
    """Add <z> to `latents` (H,), <a a^T> to `products` (H, H), <a> to `amplitudes` (N, H).

    Parameters
    ----------
    observed, vectors, free_mean : as for `amplitude_numba.explore`
    completion : (H, D), to which <a a^T> times what incomplete patches do not show of W is added

    Returns
    -------
    tr(G <a a^T>), with each patch's own G
    """
    patches, size, max_active = active.shape
    number = len(latents)
    inverse = np.empty((max_active, max_active), np.float32)
    means = np.empty(max_active, np.float32)
    own_gram = np.empty((number if len(observed) > 0 else 0, number), np.float32)
    sums, lengths = np.empty(number, np.float32), np.empty(number, np.float32)
    known, shares = np.empty(number, np.bool_), np.empty(size, np.float32)
    total = 0.0
    for n in range(patches):
        if not share_out(weights[n], shares):  # NaN weights: the check of the ELBO reports them
            amplitudes[n] = np.nan
            continue
        complete = is_complete(observed, n)
        own = gram if complete else own_gram
        if not complete:
            look_at(observed[n], vectors, free_mean, sums, lengths, known)
        for s in range(size):
            if shares[s] == 0:
                continue
            state, weight = active[n, s], shares[s]
            count = count_active(state, number)
            if not complete:
                fill_rows(state, count, observed[n], vectors, sums, known, own_gram)
            solve(state, count, own, projections[n], inverse, means)
            for i in range(count):
                h = state[i]
                latents[h] += weight
                amplitudes[n, h] += weight * means[i]
                for j in range(count):
                    inverse[i, j] = weight * (inverse[i, j] + means[i] * means[j])
                    products[h, state[j]] += inverse[i, j]
                    total += inverse[i, j] * own[h, state[j]]
            if not complete:
                _complete(state, count, inverse, observed[n], vectors, sums, completion)
    return total
