"""Estimate the standard deviation of white Gaussian noise from the noisy image alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from denoise.noise.extremes import ordinary_range
from denoise.noise.flat_patches import (
    LEAST_PATCHES,
    NoisyPatches,
    flat_variance,
    noisy_patches,
    split_energy,
)

# The mean of a patch keeps so many sigma away from clipping, if this share of the patches does.
CLIPPING_DISTANCE, UNCLIPPED_SHARE = 2.0, 0.1
# What rounding of numbers leaves, as a share of the range.
NEGLIGIBLE = 1e-5
# Brightness and two colour differences, in which photographs have little texture.
OPPONENT_AXES = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])


def estimate_sigma(image: ArrayLike) -> float:
    """Standard deviation of the white Gaussian noise in an image.

    Where many values lie at a limit of the range they are taken for clipped, and patches near
    that limit are left out.

    Parameters
    ----------
    image : (height, width) or (height, width, C) real numbers of any range, NaN where missing

    Returns
    -------
    float, in the units of `image`; 0.0 if most of the image has no noise at all. The noise of
        C channels is taken to be alike: the root of their mean variance. Noise that is smooth,
        as demosaicking and JPEG compression leave it, is underestimated.

    Raises
    ------
    ImageError
        If the array is no image, holds infinite values, or too little to measure on.
    """
    patches = noisy_patches(image)
    varied = np.ptp(patches.values, axis=2).any(1)
    if varied.mean() < 0.5:
        return 0.0
    patches = patches[varied]  # without frames and patches that are clipped altogether
    patches.check_enough()
    variance = _noise_variance(patches)
    means = patches.values.mean(2)
    distance = np.minimum(means.min(1) - patches.lowest, patches.highest - means.max(1))
    if np.isfinite(distance).all():  # some end of the range is clipped
        share = max(UNCLIPPED_SHARE, 2 * LEAST_PATCHES / len(patches))
        farthest = float(np.quantile(distance, 1 - share))
        for _ in range(3):
            kept = min(CLIPPING_DISTANCE * math.sqrt(variance), farthest)
            variance = _noise_variance(patches[distance >= kept])
    sigma = math.sqrt(variance)
    lowest, highest = ordinary_range(patches.values)
    return sigma if sigma > NEGLIGIBLE * (highest - lowest) else 0.0


def sigma_of_255(sigma: float, image: ArrayLike) -> float:
    """Sigma on the 0..255 scale, for an image of any range: 255 is its largest difference.

    Parameters
    ----------
    image : of any shape, NaN where missing
    """
    values = np.asarray(image, np.float64)
    extent = float(np.nanmax(values) - np.nanmin(values))
    return sigma * 255 / extent if extent > 0 else sigma


def _noise_variance(patches: NoisyPatches) -> float:
    """Mean over axes of colour; one with texture counts no more than those that look white."""
    values = patches.values
    if values.shape[1] == 3:
        values = np.einsum("ac,ncd->nad", OPPONENT_AXES, values)
    axes = [
        flat_variance(*split_energy(values[:, axis], patches.fold))
        for axis in range(values.shape[1])
    ]
    trusted = max((variance for variance, count in axes if count > 0), default=math.inf)
    return float(np.mean([min(variance, trusted) for variance, _ in axes]))
