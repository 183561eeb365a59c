"""The noise of an image, from its pixels alone."""

from __future__ import annotations

from numpy.typing import ArrayLike

from denoise.noise.auto import estimate_any
from denoise.noise.gaussian import estimate_gaussian
from denoise.noise.interface import Noise
from denoise.noise.photons import estimate_poisson_gaussian
from denoise.options import NoiseKind


def estimate_noise(image: ArrayLike, kind: NoiseKind = "auto") -> Noise | None:
    """Measure the noise of an image; None if it has none.

    Parameters
    ----------
    image : (height, width) or (height, width, C), NaN where missing
    kind : what sort of noise to look for, or "auto"

    Raises
    ------
    ImageError
        If the array is no image, or holds too little to measure on.
    """
    if kind == "auto":
        return estimate_any(image)
    if kind == "poisson-gaussian":
        return estimate_poisson_gaussian(image)
    return estimate_gaussian(image)
