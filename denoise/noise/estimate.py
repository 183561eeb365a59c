"""The noise of an image, from its pixels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError
from denoise.noise.auto import estimate_any
from denoise.noise.blank import blank_areas
from denoise.noise.coloured import ColouredNoise
from denoise.noise.gaussian import measure_gaussian
from denoise.noise.interface import Noise
from denoise.noise.photons import estimate_poisson_gaussian
from denoise.noise.pixels import as_pixels
from denoise.options import NoiseKind

# Texture looks like noise where nothing is flat. Beside areas of one value, as on a printed page,
# it is taken for a picture without noise.
ALL_TEXTURE = "no part of it is flat, so that its texture may have been taken for noise"
CLEAN_TEXTURE = "beside areas of one value it holds nothing flat to measure noise on"


@dataclass(frozen=True)
class Measurement:
    """What the pixels of an image say about its noise.

    Attributes
    ----------
    noise : None if there is none to speak of
    doubt : why that may be wrong; empty if there is no reason to think so
    """

    noise: Noise | None
    doubt: str = ""


def estimate_noise(image: ArrayLike, kind: NoiseKind = "auto") -> Noise | None:
    """Measure the noise of an image; None if it has none.

    Areas in which all pixels are equal, such as frames and white pages, take no part.

    Parameters
    ----------
    image : (height, width) or (height, width, C), NaN where missing
    kind : what sort of noise to look for, or "auto"

    Raises
    ------
    ImageError
        If the array is no image, or holds too little to measure on.
    """
    return measure_noise(image, kind).noise


def measure_noise(image: ArrayLike, kind: NoiseKind = "auto") -> Measurement:
    """As `estimate_noise`, with what speaks against the estimate."""
    pixels = as_pixels(image)
    blank = blank_areas(pixels)
    pixels[blank] = np.nan
    try:
        return _measured(pixels, kind, beside_blank=bool(blank.any()))
    except ImageError:
        if not blank.any():
            raise
        return Measurement(None)  # too little is left that could be noisy


def _measured(pixels: NDArray[np.float64], kind: NoiseKind, *, beside_blank: bool) -> Measurement:
    if kind == "poisson-gaussian":
        return Measurement(estimate_poisson_gaussian(pixels))
    level, flat = measure_gaussian(pixels)
    noise = level if kind == "gaussian" else estimate_any(pixels, level)
    correlated = isinstance(noise, ColouredNoise) and noise.correlation_length > 0
    if noise is None or flat or correlated:
        return Measurement(noise)
    return Measurement(None, CLEAN_TEXTURE) if beside_blank else Measurement(noise, ALL_TEXTURE)
