"""The noise of an image file: as the user gave it, or as it shows in the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from denoise.cli.settings import Settings
from denoise.errors import ImageError, NoNoiseError
from denoise.files.image_file import ImageFile
from denoise.noise.level import estimate_sigma
from denoise.noise.poisson_gaussian import PoissonGaussian, estimate_poisson_gaussian

# Ratio of the noise in bright and dark parts; clipping at black alone makes up to 2.5 of it.
LARGEST_CONTRAST = 3.0


@dataclass(frozen=True)
class FileNoise:
    """The noise of an image: a level, or what a sensor does.

    Attributes
    ----------
    sigma : in the units of `Settings.sigma`; 0 where there is no noise, NaN with a sensor
    estimated : whether it was found in the image
    sensor : parameters of noise that grows with the signal, same units
    """

    sigma: float
    estimated: bool
    sensor: PoissonGaussian | None = None


def find_noise(noisy: ImageFile, settings: Settings) -> FileNoise:
    """The noise as given in the settings, else estimated.

    Raises
    ------
    ImageError
        If the image holds too little to estimate it from.
    """
    if settings.noise == "poisson-gaussian":
        if settings.sensor is not None:
            return FileNoise(math.nan, False, settings.sensor)
        try:
            return FileNoise(math.nan, True, estimate_poisson_gaussian(noisy.pixels))
        except NoNoiseError:
            return FileNoise(0.0, True)
    if settings.sigma is not None:
        return FileNoise(settings.sigma, False)
    return FileNoise(estimate_sigma(noisy.pixels), True)


def doubts(noisy: ImageFile, noise: FileNoise) -> tuple[str, ...]:
    """What the user should know of the noise that was found."""
    if noise.sigma == 0:
        return ("no noise was found; written as it is",)
    if not noise.estimated or noise.sensor is not None:
        return ()
    notes = []
    if noisy.format == "JPEG":
        notes.append(
            "sigma is estimated too low where JPEG compression has smoothed the noise; if noise"
            " is left, give a larger --sigma"
        )
    try:
        contrast = estimate_poisson_gaussian(noisy.pixels).contrast(noisy.pixels)
    except ImageError:  # too little to measure on
        contrast = 1.0
    if contrast > LARGEST_CONTRAST:
        notes.append("the noise grows with the light; try --noise poisson-gaussian")
    return tuple(notes)
