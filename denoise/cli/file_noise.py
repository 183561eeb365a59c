"""The noise of an image file: as the user gave it, or as it shows in the pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from denoise.cli.settings import Settings
from denoise.errors import ImageError, OptionError
from denoise.files.image_file import ImageFile
from denoise.files.samples import without_equal_channels
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.outliers import find_outliers, find_stripes, without_outliers
from denoise.noise.pixels import as_pixels
from denoise.options import NoiseKind

# Ratio of the noise in bright and dark parts; clipping at black alone makes up to 2.5 of it.
LARGEST_CONTRAST = 3.0
# What sigma and all other parameters of a noise are measured in.
BYTES, OWN = "0..255", "own"


@dataclass(frozen=True)
class Observed:
    """An image as it is denoised.

    Attributes
    ----------
    image : gray if its channels are equal, without outliers
    noise : given or estimated; None if there is none
    outliers : how many pixels were filled in
    notes : what the user should know
    """

    image: ImageFile
    noise: Noise | None
    outliers: int
    notes: tuple[str, ...]


def observe(noisy: ImageFile, settings: Settings) -> Observed:
    """Fill in outliers, and find the noise unless it is given.

    Parameters
    ----------
    noisy : NaN where missing

    Raises
    ------
    ImageError
        If noise has to be estimated and there is too little to measure on.
    OptionError
        If the noise that is given has other units.
    """
    seen = replace(noisy, pixels=without_equal_channels(noisy.pixels))
    pixels = as_pixels(seen.pixels)
    outliers, notes = 0, []
    found = find_outliers(pixels) if settings.fill_outliers else None
    if found is not None:
        outliers = found.count
        pixels = without_outliers(pixels, found.where)
        seen = replace(seen, pixels=pixels.reshape(seen.pixels.shape).astype(seen.pixels.dtype))
        filled = f"{outliers} outliers ({found.kind}) were filled in"
        notes.append(f"{filled}; --keep-outliers leaves them")
    stripes = find_stripes(pixels)
    if stripes is not None:
        notes.append(f"there are stripes along {stripes}, which are left as they are")
    noise = given_noise(settings, units_of(noisy))
    if noise is None:
        from denoise.noise.estimate import estimate_noise  # what it needs is slow to load

        noise = estimate_noise(seen.pixels, _kind(settings))
        notes += _doubts(seen, noise, settings, filled=outliers > 0)
    return Observed(seen, noise, outliers, tuple(notes))


def units_of(image: ImageFile) -> str:
    """What `ImageFile.pixels` are measured in."""
    return OWN if image.is_float else BYTES


def is_given(settings: Settings) -> bool:
    """Whether the user gave the noise."""
    return settings.sensor is not None or settings.sigma is not None or _from_file(settings)


def given_noise(settings: Settings, units: str) -> Noise | None:
    """The noise if its parameters were given, in the units of `ImageFile.pixels`."""
    if settings.sensor is not None:
        return settings.sensor
    if settings.sigma is not None:
        return GaussianNoise(settings.sigma)
    if isinstance(settings.noise, str):
        return None
    noise, measured = settings.noise
    if measured != units:
        raise OptionError(
            f"the noise given with --noise was measured in units {measured!r}, this image has"
            f" {units!r}; measure it on an image of the same sample type"
        )
    return noise


def _from_file(settings: Settings) -> bool:
    return not isinstance(settings.noise, str)


def _kind(settings: Settings) -> NoiseKind:
    return settings.noise if isinstance(settings.noise, str) else "auto"


def _doubts(
    noisy: ImageFile, estimated: Noise | None, settings: Settings, *, filled: bool
) -> list[str]:
    """What the user should know of noise that was estimated."""
    if estimated is None:
        rest = "the rest is written as it is" if filled else "written as it is"
        return [f"there is no noise to speak of; {rest}"]
    if settings.noise != "gaussian":
        return []
    notes = []
    if noisy.format == "JPEG":
        notes.append(
            "sigma is estimated too low where JPEG compression has smoothed the noise; if noise"
            " is left, use --noise auto or give a larger --sigma"
        )
    from denoise.noise.photons import estimate_poisson_gaussian

    try:
        growing = estimate_poisson_gaussian(noisy.pixels)
    except ImageError:  # too little to measure on
        growing = None
    if growing is not None and growing.contrast(noisy.pixels) > LARGEST_CONTRAST:
        notes.append("the noise grows with the light; try --noise auto")
    return notes
