"""White noise: which levels make sense, and synthetic noise as the literature draws it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import OptionError
from denoise.noise.extremes import ordinary_range

# As a share of the range of the image: weaker noise is lost in the rounding of its values.
LEAST_SIGMA = 1e-6
# As a multiple of the largest value: stronger noise leaves nothing of an image.
LARGEST_SIGMA = 1e3


def check_sigma(sigma: float, pixels: NDArray[np.float64]) -> None:
    """Raise if no image like `pixels` can have such noise.

    Raises
    ------
    OptionError
        If it is not positive and finite, too small for the range of the values, or too large
        for the values.
    """
    if not 0 < sigma < math.inf:
        raise OptionError(f"sigma must be a positive finite number, got {sigma}")
    lowest, highest = ordinary_range(pixels)
    if sigma < LEAST_SIGMA * (highest - lowest):
        raise OptionError(
            f"sigma {sigma:g} is too small for values that differ by {highest - lowest:g};"
            " give the noise in the units of the image"
        )
    largest = float(np.nanmax(np.abs(pixels)))
    if 0 < LARGEST_SIGMA * largest < sigma:
        raise OptionError(
            f"sigma {sigma:g} is too large for values of at most {largest:g};"
            " give the noise in the units of the image"
        )


def add_gaussian_noise(
    image: ArrayLike, sigma: float, *, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Add white Gaussian noise, neither clipped nor rounded.

    Clipping to 0..255 makes the input better and the problem another one
    (House at sigma 50: 14.6 instead of 14.2 dB), so benchmarks leave it out.

    Parameters
    ----------
    image : array of any shape
    sigma : standard deviation, in the units of `image`

    Returns
    -------
    float64 array of the same shape
    """
    clean = np.asarray(image, dtype=np.float64)
    return clean + sigma * generator.standard_normal(clean.shape)
