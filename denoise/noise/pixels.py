"""Arrays as images, and the range of their values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError

# The ordinary range holds all but this share of the values at either end.
TAIL = 0.01
# float32 rounds a value by at most this share of it; more than this share of sigma is too much.
FLOAT32_ROUNDING, LARGEST_ROUNDING = 2.0**-24, 1e-3
# A limit of the range counts as clipping if this share of the values lies on it, at least two.
CLIPPED_SHARE = 1e-3
# The range of the clean image is what is left of that of the noisy values without this share at
# either end, less this many sigma where an end is not clipped. For 26 photographs with unclipped
# noise of sigma 15 to 50 it is 195 to 370 instead of 255.
RANGE_TAIL, RANGE_SIGMAS = 1e-3, 1.1


def as_pixels(image: ArrayLike) -> NDArray[np.float64]:
    """A copy of an image as (height, width, C), NaN where values are missing.

    Raises
    ------
    ImageError
        If the array is no image, or holds infinite values.
    """
    pixels = np.array(image, dtype=np.float64, order="C")
    if pixels.ndim not in (2, 3):
        raise ImageError(
            f"expected (height, width) or (height, width, C), got shape {pixels.shape}"
        )
    if np.isinf(pixels).any():
        raise ImageError("the image holds infinite values; mark missing ones as NaN")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return pixels.reshape(*pixels.shape[:2], channels)


def ordinary_range(pixels: NDArray[np.float64]) -> tuple[float, float]:
    """Lowest and highest value without the tails: NaN does not count, a few outliers neither."""
    lowest, highest = np.nanquantile(pixels, [TAIL, 1 - TAIL])
    return float(lowest), float(highest)


def clipped_range(pixels: NDArray[np.float64]) -> tuple[float, float]:
    """Where the range of the values is clipped; -inf and inf where it is not."""
    if np.isnan(pixels).all():
        return -math.inf, math.inf
    lowest, highest = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    least = max(CLIPPED_SHARE * pixels.size, 1)
    return (
        lowest if np.sum(pixels == lowest) > least else -math.inf,
        highest if np.sum(pixels == highest) > least else math.inf,
    )


def far_origin(pixels: NDArray[np.float64], sigma: float) -> float:
    """What to subtract from pixels, NaN where missing, lest float32 rounds away their noise.

    0 unless its rounding is more than a small share of `sigma`.
    """
    middle = sum(ordinary_range(pixels)) / 2
    return middle if abs(middle) * FLOAT32_ROUNDING > LARGEST_ROUNDING * sigma else 0.0


def clean_range(pixels: NDArray[np.float64], sigma: float) -> float:
    """Roughly the largest difference in the clean image; at least sigma.

    Noise widens the range of the values where they are not clipped.

    Parameters
    ----------
    pixels : of any shape, NaN where missing
    sigma : standard deviation of their noise
    """
    first, last = np.nanquantile(pixels, [RANGE_TAIL, 1 - RANGE_TAIL])
    lowest, highest = clipped_range(pixels)
    if lowest == -math.inf:
        lowest = float(first) + RANGE_SIGMAS * sigma
    if highest == math.inf:
        highest = float(last) - RANGE_SIGMAS * sigma
    return max(highest - lowest, sigma)
