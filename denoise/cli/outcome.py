"""What a run makes of an image file: the result, and how it is written."""

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
    quantised,
    to_pixels,
    with_equal_channels,
    without_value,
)


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
    samples = without_value(samples, noisy.metadata.nodata, noisy.void)
    return replace(noisy, pixels=to_pixels(samples))


def write_result(job: FileJob, denoised: ImageFile, noisy: ImageFile, settings: Settings) -> None:
    """Write the image to its file or to standard output; the last step of a job.

    Raises
    ------
    OutputError
        If the file has appeared meanwhile, or cannot be written.
    """
    data = _same_file(job, denoised, noisy, settings)
    if job.output is None:
        _write_to_stdout(data or encode_image(denoised.pixels, noisy, strip=settings.strip))
        return
    overwrite = settings.may_replace
    if data is None:
        strip = settings.strip
        write_image(job.output, denoised.pixels, like=noisy, strip=strip, overwrite=overwrite)
        return
    if not overwrite:
        refuse_existing([job.output])  # that has appeared since the job was checked
    write_atomically(job.output, data)


def _write_to_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"stdout: cannot be written: {error.strerror or error}") from None


def _same_file(
    job: FileJob, denoised: ImageFile, noisy: ImageFile, settings: Settings
) -> bytes | None:
    """The file itself if nothing of it changes: to write a JPEG anew would change it."""
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
