"""Noise on areas that are as bright or as dark as the range of the values allows.

A scanned page is white, a night sky black, and the range ends there: half of the noise is cut off.
What is left tells how much there was. With X = min(Z, t) for a standard normal Z, the range ends
t sigma above the true brightness, and

    E[X] = t Q(t) - phi(t)            E[X^2] = Phi(t) - t phi(t) + t^2 Q(t)

so that the squared distance of the mean from the end, over the variance, gives t.
"""

from __future__ import annotations

import math

import numpy as np

from denoise.noise.flat_patches import FLATNESS, NoisyPatches, flat_variance, split_energy

# From where 93 % of the values are clipped to where hardly any is.
ENDS = np.linspace(-1.5, 3, 451)
# The flat patches are at least this share of all, those with missing values included: what blank
# areas leave of a clean page is no paper.
LEAST_FLAT = 0.02


def clipped_variance(patches: NoisyPatches) -> float | None:
    """Noise variance from flat patches at an end of the range; None if there are few.

    Parameters
    ----------
    patches : whose values have not been changed since they were clipped; channels count as
        patches of their own, with the same noise
    """
    channels, size = patches.values.shape[1:]
    values = patches.values.reshape(-1, size)
    quiet, other = split_energy(values, np.repeat(patches.fold, channels))
    variance, count = flat_variance(quiet, other)
    if count < LEAST_FLAT * len(values) / patches.complete:
        return None
    means = values[other <= FLATNESS * variance].mean(1)
    brighter = patches.highest - means < means - patches.lowest
    ends = (patches.highest - means[brighter], means[~brighter] - patches.lowest)
    distance = float(np.mean(max(ends, key=len)))  # from the end where most of them are
    return unclipped_variance(distance, variance) if math.isfinite(distance) else None


def unclipped_variance(distance: float, variance: float) -> float:
    """Variance of Gaussian noise before its values were clipped.

    Parameters
    ----------
    distance : of the mean of the clipped values from the end of the range
    variance : of the clipped values
    """
    density = np.exp(-(ENDS**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([(1 + math.erf(t / math.sqrt(2))) / 2 for t in ENDS])
    means = ENDS * (1 - below) - density
    variances = below - ENDS * density + ENDS**2 * (1 - below) - means**2
    end = np.interp(distance**2 / variance, (ENDS - means) ** 2 / variances, ENDS)
    return float(variance / np.interp(end, ENDS, variances))
