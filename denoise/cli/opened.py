"""An image file before it is denoised: its pixels, its noise, and what the user should know."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from denoise.cli.file_noise import Observed, observe
from denoise.cli.jobs import ActiveJob, FileJob
from denoise.cli.mask import marked_pixels, mask_notes, with_missing
from denoise.cli.outcome import result_of
from denoise.cli.reference import read_reference
from denoise.cli.settings import Settings
from denoise.devices import pick_device
from denoise.errors import DeviceError, ImageError, OptionError, TrainingError
from denoise.files.bytes import is_pipe, read_bytes
from denoise.files.formats import format_of_suffix, lost_metadata
from denoise.files.image_file import ImageFile
from denoise.files.images import check_writable, read_image
from denoise.files.rows import RowImage, open_streamed
from denoise.files.samples import PEAK
from denoise.files.series import Series, open_series
from denoise.pipeline.results import DenoiseResult
from denoise.pipeline.run import Run
from denoise.vae.saved import load_models

# Images of more pixels are read and written some rows at a time, where their format allows that.
STREAMED = 2**25

# One image, several, or one of which rows are read.
Noisy = ImageFile | Series | RowImage


@dataclass(frozen=True)
class OpenedFile:
    """An image file that can be denoised.

    Attributes
    ----------
    noisy : NaN where pixels are missing
    reference : the clean image, if there is one
    seen : the image as it is denoised, and its noise
    notes : what the user should know
    """

    noisy: ImageFile
    reference: ImageFile | None
    seen: Observed
    notes: tuple[str, ...]

    def denoised(self, result: DenoiseResult | None, strength: float) -> ImageFile:
        """The image as it will be written; see `result_of`."""
        if result is None and not self.seen.outliers:
            return self.noisy
        estimate = self.seen.image.pixels if result is None else result.image
        return result_of(self.noisy, estimate, strength)


def source_of(job: FileJob) -> Path | bytes:
    """What to read a job's image from, as often as need be: a file, or the bytes of a pipe."""
    if job.image is not None:
        return read_bytes(job.image) if is_pipe(job.image) else job.image
    if sys.stdin is None:
        raise ImageError("stdin: is closed; send an image")
    return sys.stdin.buffer.read()


@contextmanager
def open_input(job: FileJob, settings: Settings) -> Iterator[Noisy]:
    """The noisy image of a job, or the images of its file if there are several and all are meant.

    A large image is read when its rows are.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    source, name, limit = source_of(job), job.input_name, settings.max_pixels
    frame, axes = settings.frame, settings.axes
    if frame is None:
        with open_series(source, axes=axes, max_pixels=limit, name=name) as series:
            if series is not None and len(series) > 1:
                yield series
                return
    with open_streamed(source, frame=frame, axes=axes, max_pixels=limit, name=name) as large:
        if large is not None and is_streamed(large.size):
            yield large
            return
    yield read_image(source, frame=frame, axes=axes, max_pixels=limit, name=name)


def is_streamed(size: tuple[int, int]) -> bool:
    """Whether images of this height and width are read and written some rows at a time."""
    return math.prod(size) > STREAMED


def open_image(noisy: ImageFile, job: FileJob, settings: Settings) -> OpenedFile:
    """Find out all that it takes to denoise an image that has been read.

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    opened = open_frame(noisy, job, settings)
    reference = None if job.reference is None else read_reference(job.reference, noisy, settings)
    return replace(opened, reference=reference)


def open_frame(noisy: ImageFile, job: FileJob, settings: Settings) -> OpenedFile:
    """The same of one image of several; the reference is left to the caller."""
    if job.output is not None:
        check_writable(job.output, noisy, strip=settings.strip)
    marked = None if job.mask is None else marked_pixels(job.mask, noisy, settings)
    opened = observed(with_missing(noisy, marked, fill=settings.fill_missing), job, settings)
    return replace(opened, notes=(*mask_notes(marked), *opened.notes))


def observed(noisy: ImageFile, job: FileJob, settings: Settings) -> OpenedFile:
    """Find out what it takes to denoise an image, NaN where missing, or a part of one."""
    with named(str(noisy.path)):
        seen = observe(noisy, settings)
    notes = (*noisy.notes, *_losses(noisy, job, settings), *seen.notes)
    return OpenedFile(noisy, None, seen, notes)


def run_of(image: ImageFile, active: ActiveJob) -> Run:
    """How to denoise an image, and those like it; loads the models that the job names.

    Raises
    ------
    ModelFileError
        If they cannot be read.
    DeviceError
        If the device for them is not there.
    """
    job, settings, models = active.missing, active.settings, None
    if job.load_model is not None:
        models = load_models(job.load_model, pick_device(settings.device))
    return Run(
        overrides=settings.overrides,
        data_range=None if image.is_float else PEAK,
        models=models,
        with_uncertainty=job.uncertainty is not None or job.report is not None,
        seed=settings.seed,
        device=settings.device,
        on_progress=active.on_progress,
    )


@contextmanager
def named(name: str) -> Iterator[None]:
    """Begin the message of an error with the name of what it is about, unless it does so."""
    try:
        yield
    except (ImageError, OptionError, DeviceError, TrainingError) as error:
        if str(error).startswith(f"{name}: "):
            raise
        raise type(error)(f"{name}: {error}") from None


def _losses(noisy: ImageFile, job: FileJob, settings: Settings) -> tuple[str, ...]:
    """What the output cannot say about how its pixels show, unless it is not wanted."""
    if job.output is None or settings.strip:
        return ()
    return lost_metadata(format_of_suffix(job.output.suffix), noisy)
