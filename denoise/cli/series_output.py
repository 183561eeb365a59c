"""The files that are written of a series, image by image; they appear when they are complete."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from denoise.cli.jobs import FileJob
from denoise.cli.residual import residual
from denoise.cli.settings import Settings
from denoise.errors import OutputError
from denoise.files.formats import Format
from denoise.files.image_file import ImageFile
from denoise.files.outputs import atomic_file, atomic_folder, refuse_existing
from denoise.files.series import Series, SeriesWriter, series_format
from denoise.results import DenoiseResult

# From an image as it was read and as it is written, and what the method made of it.
Write = Callable[[ImageFile, ImageFile, DenoiseResult | None], None]


def check_series_output(job: FileJob, like: ImageFile) -> None:
    """Raise an OutputError if the files of a job cannot hold a series of images like this one."""
    series_format(job.output, like)
    for path in (job.residual, job.uncertainty):
        if path is not None:
            series_format(path, _exact(path, _differences(like)))


@contextmanager
def series_output(job: FileJob, series: Series, settings: Settings) -> Iterator[Write]:
    """Opens all files of a job; yields the function that appends an image to each.

    Raises
    ------
    OutputError
        If one has appeared meanwhile, or cannot be written.
    """
    with ExitStack() as files:

        def appends(
            path: Path | None, like: ImageFile, *, strip: bool
        ) -> Callable[[ImageFile], None]:
            format_ = series_format(path, like)
            place = _to_stdout() if path is None else _new(path, format_)
            file = files.enter_context(place)
            return SeriesWriter(file, format_, series.axes, strip=strip).write

        # The result comes first, so that it is the last to be complete: where it is, all is done.
        like = series.first
        write_result = appends(job.output, like, strip=settings.strip)
        more = {
            path: appends(path, _exact(path, _differences(like)), strip=True)
            for path in (job.residual, job.uncertainty)
            if path is not None
        }

        def write(noisy: ImageFile, denoised: ImageFile, result: DenoiseResult | None) -> None:
            write_result(denoised)
            if job.residual is not None:
                more[job.residual](_exact(job.residual, residual(noisy, denoised)))
            if job.uncertainty is not None:
                sigma = None if result is None else result.uncertainty
                values = np.zeros_like(_differences(noisy)) if sigma is None else sigma
                more[job.uncertainty](_exact(job.uncertainty, values))

        yield write
        if not settings.may_replace:
            refuse_existing(job.outputs)  # that have appeared since the job was checked


def _differences(image: ImageFile) -> NDArray[np.floating]:
    return residual(image, image)


def _exact(path: Path, values: NDArray[np.floating]) -> ImageFile:
    """An image that is written as it is."""
    return ImageFile(path, values, sample_type=values.dtype.name)


def _new(path: Path, format_: Format) -> AbstractContextManager[BinaryIO | Path]:
    """What a series is written into."""
    return atomic_folder(path) if format_.is_folder else atomic_file(path)


@contextmanager
def _to_stdout() -> Iterator[BinaryIO]:
    """A file whose content goes to standard output when it is complete."""
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        try:
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise OutputError(f"stdout: cannot be written: {error.strerror or error}") from None
