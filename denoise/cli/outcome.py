"""What a run makes of an image file: the result, how it is written, and what was removed."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from denoise.cli.jobs import FileJob
from denoise.cli.settings import Settings
from denoise.errors import OutputError
from denoise.files.bytes import read_bytes
from denoise.files.formats import format_of_suffix
from denoise.files.image_file import ImageFile
from denoise.files.images import encode_image, write_image
from denoise.files.outputs import refuse_existing, write_atomically
from denoise.files.samples import (
    PEAK,
    quantised,
    to_pixels,
    with_equal_channels,
    without_value,
)

# The share of pixels that may be beyond black and white in a picture of the residual.
CUT_OFF = 0.001


def result_of(noisy: ImageFile, image: NDArray[np.floating], strength: float) -> ImageFile:
    """The denoised image as it will be written; what is no picture stays as it is.

    Parameters
    ----------
    noisy : NaN where missing
    image : (height, width) or (height, width, 3), the estimate of the clean image
    strength : the share of the noise that is removed, from 0 to 1; what was missing is filled in
    """
    if image.ndim < noisy.pixels.ndim:
        image = with_equal_channels(image)
    if noisy.void is not None:
        void = noisy.void if image.ndim == 2 else noisy.void[..., None]
        image = np.where(void, noisy.pixels, image)
    if strength < 1:
        given = noisy.pixels.astype(np.float64)
        mixed = given if strength == 0 else given + strength * (image - given)
        image = np.where(np.isnan(given), image, mixed)
    samples = quantised(image, noisy.sample_type)
    samples = without_value(samples, noisy.metadata.tiff.nodata, noisy.void)
    return replace(noisy, pixels=to_pixels(samples))


def write_result(job: FileJob, denoised: ImageFile, noisy: ImageFile, settings: Settings) -> None:
    """Write the image to its file or to standard output; the last step of a job.

    Raises
    ------
    OutputError
        If the file has appeared meanwhile, or cannot be written.
    """
    same = _same_file(job, denoised, noisy, settings)
    if job.output is not None and same is not None:
        if not settings.may_replace:
            refuse_existing([job.output])  # that has appeared since the job was checked
        write_atomically(job.output, same)
        return
    strip = settings.strip
    if job.output is not None:
        overwrite = settings.may_replace
        write_image(job.output, denoised.pixels, like=noisy, strip=strip, overwrite=overwrite)
        return
    data = encode_image(denoised.pixels, noisy, strip=strip) if same is None else same
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"stdout: cannot be written: {error.strerror or error}") from None


def _same_file(
    job: FileJob, denoised: ImageFile, noisy: ImageFile, settings: Settings
) -> bytes | None:
    """The file itself if nothing of it changes, which a JPEG would when it is written anew."""
    if job.image is None or not job.image.is_file():  # a pipe is read once
        return None
    if settings.strip or settings.frame is not None or noisy.notes:
        return None
    if job.output is not None:
        suffix = job.output.suffix.lower()  # not .pgm for a .pbm
        if suffix != job.image.suffix.lower() or format_of_suffix(suffix).name != noisy.format:
            return None
    if not np.array_equal(denoised.pixels, noisy.pixels, equal_nan=True):
        return None
    return read_bytes(job.image)


def residual(noisy: ImageFile, written: ImageFile) -> NDArray[np.floating]:
    """What was removed, noisy less written, in the units of `ImageFile.pixels`.

    Returns
    -------
    float64 for such images, else float32; NaN where the value was missing
    """
    dtype = np.float64 if noisy.sample_type == "float64" else np.float32
    removed = noisy.pixels.astype(np.float64) - written.pixels
    if noisy.void is not None:
        removed[noisy.void] = 0
    return np.asarray(removed, dtype)


def residual_limit(removed: NDArray[np.floating]) -> float:
    """What white stands for in a picture of the residual, and black for as much less than 0.

    All but CUT_OFF of the values are between them.
    """
    sizes = np.abs(removed[np.isfinite(removed)])
    return float(np.quantile(sizes, 1 - CUT_OFF, method="higher")) if sizes.size else 0.0


def residual_picture(removed: NDArray[np.floating], limit: float) -> NDArray[np.float64]:
    """A picture of the residual on 0..255: the middle gray, 128, where nothing was removed."""
    middle = (PEAK + 1) / 2
    scaled = np.nan_to_num(removed.astype(np.float64)) * ((middle - 1) / (limit or 1.0))
    return np.asarray(np.clip(middle + scaled, 0, PEAK), np.float64)
