"""Arrays as images, and the range of their values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError

# The ordinary range holds all but this share of the values at either end.
TAIL = 0.01
# A limit of the range counts as clipping if this share of the values lies on it.
CLIPPED_SHARE = 1e-3


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
    return (
        lowest if np.mean(pixels == lowest) > CLIPPED_SHARE else -math.inf,
        highest if np.mean(pixels == highest) > CLIPPED_SHARE else math.inf,
    )
