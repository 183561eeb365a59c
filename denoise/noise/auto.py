"""What sort of noise an image has, and that noise: what `--noise auto` finds.

1. Is it correlated between pixels?
2. Does it grow with the light? Then the image is stabilised.
3. Does it differ between channels? Then it has a covariance of channels.
4. Else it is white and the same everywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from denoise.noise.coloured import ColouredNoise
from denoise.noise.correlated import LEAST_SHARE, estimate_correlated
from denoise.noise.flat_patches import FEWER_PATCHES, colour_covariance, noisy_patches
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.photons import estimate_growth
from denoise.noise.pixels import ordinary_range
from denoise.noise.poisson_gaussian import PoissonGaussianNoise

Array = NDArray[np.float64]

# Noise with less rms than this share of the range is not worth the time.
UNNOTICED = 0.005
# Channels whose noise differs by less than this factor in sigma are taken to be alike.
ALIKE = 1.3
# Smaller correlations between channels may be those of texture, which is alike in all.
SHARED = 0.3


def estimate_any(pixels: Array, level: GaussianNoise | None) -> Noise | None:
    """The noise of an image, of whatever sort, from its pixels alone.

    Parameters
    ----------
    pixels : (height, width, C), NaN where missing
    level : its noise if that is white and the same everywhere

    Returns
    -------
    GaussianNoise, PoissonGaussianNoise, or ColouredNoise if it is correlated between pixels or
        differs between channels; None if there is no noise to speak of

    Raises
    ------
    ImageError
        If the image holds too little to measure on.
    """
    lowest, highest = ordinary_range(pixels)
    found = estimate_correlated(pixels, highest - lowest) or _white(pixels, level)
    if found is None:
        return None
    rms = math.sqrt(float(np.nanmean(found.variance(pixels))))
    return found if rms > UNNOTICED * (highest - lowest) else None


def _white(pixels: Array, level: GaussianNoise | None) -> Noise | None:
    """Noise that is not correlated between pixels; it may grow with the light."""
    if level is None:
        return None
    growth = estimate_growth(pixels)
    stabilised = pixels if growth is None else growth.stabilise(pixels)
    variance = level.sigma**2 if growth is None else 1.0
    return _of_channels(stabilised, variance, growth) or growth or level


def _of_channels(
    pixels: Array, variance: float, growth: PoissonGaussianNoise | None
) -> ColouredNoise | None:
    """White noise that differs between channels; None if it does not."""
    if pixels.shape[2] == 1:
        return None
    covariance = colour_covariance(
        noisy_patches(pixels, FEWER_PATCHES).varied().unclipped(variance)
    )
    sigmas = np.sqrt(np.diag(covariance))
    if sigmas.min() == 0:
        return None
    shared = np.abs(covariance / np.outer(sigmas, sigmas) - np.eye(len(sigmas))).max()
    if shared < SHARED:
        if sigmas.max() < ALIKE * sigmas.min():
            return None
        return ColouredNoise.of([np.array([[one]]) for one in sigmas**2], None, growth)
    variances, axes = np.linalg.eigh(covariance)
    variances = np.maximum(variances, LEAST_SHARE * variances.max())
    return ColouredNoise.of([np.array([[one]]) for one in variances], axes.T, growth)
