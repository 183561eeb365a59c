"""Parts of the compiled loops of the amplitude model that look at one patch; see `amplitude.py`.

A patch with missing values has a Gram matrix of its own. Few of its rows are needed, those of the
latents that are on in some state, so that each is computed when it is first asked for.
"""

from __future__ import annotations

import numpy as np

from denoise.kernels import constants
from denoise.kernels.machine_code import part_of_loop

LEAST_WEIGHT = np.float32(constants.LEAST_WEIGHT)


@part_of_loop
def share_out(weights, shares):
    """Let `shares` be the weights (S,) of one patch with sum 1, those too small to matter 0.

    Returns
    -------
    Whether there are any; NaN weights have none
    """
    largest = weights[0]
    for s in range(1, len(weights)):
        largest = max(largest, weights[s])
    least = LEAST_WEIGHT * largest
    kept = np.float32(0)
    for s in range(len(weights)):
        if weights[s] >= least:
            kept += weights[s]
    for s in range(len(weights)):
        shares[s] = np.float32(0)
        if weights[s] >= least:
            shares[s] = weights[s] / kept
    return kept != np.float32(0)


@part_of_loop
def is_complete(observed, n):
    """Whether patch n has all its values; `observed` is (N, D), or (0, D) if all patches have."""
    complete = True
    if len(observed) > 0:
        for d in range(observed.shape[1]):
            complete = complete and observed[n, d] != 0
    return complete


@part_of_loop
def look_at(observed, vectors, free_mean, sums, lengths, known):
    """Begin a patch with missing values.

    Parameters
    ----------
    observed : (D,) float, 1 where the patch has a value and 0 elsewhere
    vectors : (D, H), W transposed, in units of sigma
    sums, lengths, known : (H,), outputs: what a free mean takes of each latent, such that
        -sums_h sums_k is its part of G_hk; 1 + G_hh; whether row h of G is known
    """
    sums[:] = 0
    lengths[:] = 1
    values = np.float32(0)
    for d in range(len(observed)):
        if observed[d] != 0:
            values += np.float32(1)
            column = vectors[d]
            for h in range(len(sums)):
                sums[h] += column[h]
                lengths[h] += column[h] * column[h]
    scale = np.float32(0)
    if free_mean and values > 0:
        scale = np.float32(1) / np.sqrt(values)
    for h in range(len(sums)):
        sums[h] *= scale
        lengths[h] -= sums[h] * sums[h]
    known[:] = False


@part_of_loop
def fill_rows(latents, count, observed, vectors, sums, known, gram):
    """Compute the rows of a patch's own Gram matrix (H, H) that these latents need."""
    for i in range(count):
        latent = latents[i]
        if not known[latent]:
            known[latent] = True
            row, factor = gram[latent], sums[latent]
            for h in range(len(row)):
                row[h] = -factor * sums[h]
            for d in range(len(observed)):
                if observed[d] != 0:
                    column, factor = vectors[d], vectors[d, latent]
                    for h in range(len(row)):
                        row[h] += factor * column[h]


@part_of_loop
def count_active(active, number):
    """How many latents are on in a state."""
    count = 0
    while count < len(active) and active[count] < number:
        count += 1
    return count


@part_of_loop
def solve(latents, count, gram, projections, inverse, means):
    """Posterior of the amplitudes by Gauss-Jordan: `inverse` = M^-1, `means` = M^-1 c."""
    for i in range(count):
        for j in range(count):
            inverse[i, j] = gram[latents[i], latents[j]]
        inverse[i, i] += np.float32(1.0)
    for p in range(count):
        pivot = max(inverse[p, p], np.float32(1.0))
        inverse[p, p] = 1.0
        for j in range(count):
            inverse[p, j] /= pivot
        for i in range(count):
            if i != p:
                factor = inverse[i, p]
                inverse[i, p] = 0.0
                for j in range(count):
                    inverse[i, j] -= factor * inverse[p, j]
    for i in range(count):
        mean = np.float32(0.0)
        for j in range(count):
            mean += inverse[i, j] * projections[latents[j]]
        means[i] = mean
