"""Whether noise that was given is that of the image; quick to load."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError
from denoise.noise.blank import blank_areas
from denoise.noise.flat_patches import FEWER_PATCHES
from denoise.noise.gaussian import GaussianNoise, measure_gaussian
from denoise.noise.interface import Noise
from denoise.noise.pixels import as_pixels

# A given sigma that differs by more than this factor is a mistake, or a wish to be said aloud.
FAR = 1.6


def unlike(image: ArrayLike, sigma: float) -> Noise | None:
    """The noise of an image if it is clearly not white with this sigma, else None.

    Parameters
    ----------
    image : (height, width) or (height, width, C), NaN where missing
    """
    pixels = as_pixels(image)
    pixels[blank_areas(pixels)] = np.nan
    try:
        level, flat = measure_gaussian(pixels, FEWER_PATCHES)
        if level is None or not flat or sigma / FAR < level.sigma < sigma * FAR:
            return None
        # Smooth noise looks weaker than it is.
        found = level if level.sigma > sigma else _of_any_sort(pixels, level)
    except ImageError:
        return None
    if found is None:
        return None
    rms = math.sqrt(float(np.nanmean(found.variance(pixels))))
    return None if sigma / FAR < rms < sigma * FAR else found


def _of_any_sort(pixels: NDArray[np.float64], level: GaussianNoise) -> Noise | None:
    from denoise.noise.auto import estimate_any  # what it needs is slow to load

    return estimate_any(pixels, level)
