"""The noise of an image file: as the user gave it, or as it shows in the pixels."""

from __future__ import annotations

from denoise.cli.settings import Settings
from denoise.errors import ImageError
from denoise.files.image_file import ImageFile
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.poisson_gaussian import estimate_poisson_gaussian

# Ratio of the noise in bright and dark parts; clipping at black alone makes up to 2.5 of it.
LARGEST_CONTRAST = 3.0


def given_noise(settings: Settings) -> Noise | None:
    """The noise if its parameters were given, in the units of `ImageFile.pixels`."""
    if settings.sensor is not None:
        return settings.sensor
    return None if settings.sigma is None else GaussianNoise(settings.sigma)


def doubts(noisy: ImageFile, estimated: Noise | None, settings: Settings) -> tuple[str, ...]:
    """What the user should know of noise that was estimated."""
    if estimated is None:
        return ("no noise was found; written as it is",)
    if settings.noise != "gaussian":
        return ()
    notes = []
    if noisy.format == "JPEG":
        notes.append(
            "sigma is estimated too low where JPEG compression has smoothed the noise; if noise"
            " is left, give a larger --sigma"
        )
    try:
        growing = estimate_poisson_gaussian(noisy.pixels)
    except ImageError:  # too little to measure on
        growing = None
    if growing is not None and growing.contrast(noisy.pixels) > LARGEST_CONTRAST:
        notes.append("the noise grows with the light; try --noise poisson-gaussian")
    return tuple(notes)
