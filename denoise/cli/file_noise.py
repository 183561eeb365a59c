"""The noise of an image file: as the user gave it, or as it shows in the pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from denoise.cli.settings import Settings
from denoise.errors import ImageError, OptionError
from denoise.files.image_file import ImageFile
from denoise.files.samples import step_of, without_equal_channels
from denoise.noise.blank import filled_in
from denoise.noise.doubt import unlike
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.outliers import find_outliers, find_stripes, without_outliers
from denoise.noise.pixels import as_pixels
from denoise.options import NoiseKind

if TYPE_CHECKING:
    from denoise.noise.estimate import Measurement

# The units of sigma and of all other parameters of a noise.
BYTES, OWN = "0..255", "own"
# Where sigma is smaller than so many steps between values, rounding costs more than a decibel.
FEW_STEPS = 3.0


@dataclass(frozen=True)
class Observed:
    """An image as it is denoised.

    Attributes
    ----------
    image : gray if its channels are equal, without outliers; what is no picture is filled in
    noise : given or estimated; None if there is none
    outliers : how many pixels were filled in
    remarks : what else the user should know
    outlier_kind : how the outliers came about
    """

    image: ImageFile
    noise: Noise | None
    outliers: int
    remarks: tuple[str, ...]
    outlier_kind: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """All that the user should know."""
        return (*outlier_notes(self.outliers, self.outlier_kind), *self.remarks)

    @property
    def pixels(self) -> NDArray[np.float64]:
        """(height, width, C), NaN where it is missing or no picture."""
        return without_void(as_pixels(self.image.pixels), self.image.void)

    @property
    def to_remove(self) -> Noise | None:
        """What a denoiser is told; None if there is neither noise nor a missing pixel."""
        if self.noise is None and self.image.has_missing:
            return GaussianNoise(0.0)
        return self.noise


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
    if not noisy.picture.any():  # such as an empty tile of a map
        return Observed(noisy, None, 0, ("it holds no data at all; written as it is",))
    seen = replace(noisy, pixels=without_equal_channels(noisy.pixels))
    pixels = picture_of(seen)
    notes: list[str] = []
    found = find_outliers(pixels) if settings.fill_outliers else None
    if found is not None:
        pixels = without_outliers(pixels, found.where)
    stripes = find_stripes(pixels)
    if stripes is not None:
        notes.append(f"there are stripes along {stripes}, which are left as they are")
    if found is not None or noisy.void is not None:
        seen = replace(seen, pixels=pixels.reshape(seen.pixels.shape).astype(seen.pixels.dtype))
    picture = without_void(pixels, noisy.void)
    noise = given_noise(settings, units_of(noisy))
    if noise is None:
        from denoise.noise.estimate import measure_noise  # what it needs is slow to load

        try:
            measured = measure_noise(picture, _kind(settings))
        except ImageError as error:
            raise ImageError(f"{error}; give --sigma") from None
        noise = measured.noise
        filled = found is not None or noisy.has_missing
        notes += _doubts(seen, picture, measured, settings, filled=filled)
    elif settings.sigma == 0:
        noise = None
    elif settings.sigma is not None:
        other = unlike(picture, settings.sigma)
        if other is not None:
            looks = other.summary(scale_of(noisy))
            notes.append(f"the noise looks like {looks}; without --sigma it is measured")
    notes += rounding_notes(seen, noise)
    if found is None:
        return Observed(seen, noise, 0, tuple(notes))
    return Observed(seen, noise, found.count, tuple(notes), found.kind)


def outlier_notes(count: int, kind: str) -> tuple[str, ...]:
    """A sentence about this many outliers that were filled in."""
    what = "1 outlier was" if count == 1 else f"{count} outliers ({kind}) were"
    return (f"{what} filled in; --keep-outliers leaves them",) if count else ()


def rounding_notes(image: ImageFile, noise: Noise | None) -> tuple[str, ...]:
    """What is lost where noise is hardly larger than the steps between the values of a file.

    Files of 8 bits are pictures to look at, in which it does not show.
    """
    if noise is None or image.is_float or image.sample_type in ("uint8", "int8"):
        return ()
    typical = np.nanmean(image.pixels[image.picture], dtype=np.float64)
    if noise.variance(typical).mean() > (FEW_STEPS * step_of(image.sample_type)) ** 2:
        return ()
    return (
        f"the noise is hardly larger than the steps between {image.sample_type} values, to which"
        " the result is rounded; convert the image to float32 first, and more detail is kept",
    )


def picture_of(image: ImageFile) -> NDArray[np.float64]:
    """Pixels (height, width, C) of an image file, continued smoothly where it is no picture."""
    if image.void is None:
        return as_pixels(image.pixels)
    channels = 1 if image.pixels.ndim == 2 else image.pixels.shape[2]
    pixels = image.pixels.astype(np.float64).reshape(*image.void.shape, channels)
    return as_pixels(filled_in(pixels, image.void))


def without_void(
    pixels: NDArray[np.float64], void: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Pixels (height, width, C), NaN where they are no picture."""
    return pixels if void is None else np.where(void[..., None], np.nan, pixels)


def units_of(image: ImageFile) -> str:
    """The units of `ImageFile.pixels`."""
    return OWN if image.is_float else BYTES


def scale_of(image: ImageFile) -> str:
    """A remark on those units, for `Noise.summary`."""
    return "" if image.is_float else " of 255"


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


def _kind(settings: Settings) -> NoiseKind:
    return settings.noise if isinstance(settings.noise, str) else "auto"


def _doubts(
    noisy: ImageFile,
    picture: NDArray[np.float64],
    measured: Measurement,
    settings: Settings,
    *,
    filled: bool,
) -> list[str]:
    """What the user should know of noise that was estimated."""
    if measured.noise is None:
        rest = "the rest is written as it is" if filled else "written as it is"
        why = f"{measured.doubt}; give --sigma if it is noisy" if measured.doubt else ""
        return [f"{why or 'there is no noise to speak of'}; {rest}"]
    notes = []
    if measured.doubt:
        notes.append(f"{measured.doubt}; give a lower --sigma if details are lost")
    if settings.noise != "gaussian":
        return notes
    if noisy.format == "JPEG":
        notes.append(
            "sigma is estimated too low where JPEG compression has smoothed the noise; if noise"
            " is left, use --noise auto or give a larger --sigma"
        )
    from denoise.noise.estimate import measure_noise
    from denoise.noise.poisson_gaussian import PoissonGaussianNoise

    if isinstance(measure_noise(picture).noise, PoissonGaussianNoise):
        notes.append("the noise grows with the light; try --noise auto")
    return notes
