"""Files that are written image by image, or row by row; they appear when they are complete."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from denoise.cli.jobs import ActiveJob, FileJob
from denoise.cli.residual import residual
from denoise.errors import OutputError
from denoise.files.formats import Format
from denoise.files.image_file import ImageFile
from denoise.files.outputs import atomic_file, atomic_folder, refuse_existing
from denoise.files.pages import Axes
from denoise.files.series import SeriesWriter

Append = Callable[[ImageFile], None]
# Appends an image to all files: as it was read, as it is written, the uncertainty of its values.
Write = Callable[[ImageFile, ImageFile, NDArray[np.floating] | None], None]


@dataclass(frozen=True)
class Writing:
    """How files are written in pieces.

    Attributes
    ----------
    format_of : the format of a file, by its path, for images like one; raises an OutputError
    axes : along which the images lie
    height : of the images, which come whole or in rows
    """

    format_of: Callable[[Path | None, ImageFile], Format]
    axes: Axes
    height: int

    def append(self, file: BinaryIO | Path, format_: Format, *, strip: bool) -> Append:
        """What appends a piece to a file; with `strip` it leaves out metadata."""
        return SeriesWriter(file, format_, self.axes, strip=strip, height=self.height).write


def check_outputs(job: FileJob, writing: Writing, like: ImageFile) -> None:
    """Raise an OutputError if a file of a job cannot be written in pieces like this one."""
    writing.format_of(job.output, like)
    for path in (job.residual, job.uncertainty):
        if path is not None:
            writing.format_of(path, _exact(path, _differences(like)))


@contextmanager
def open_outputs(active: ActiveJob, writing: Writing, like: ImageFile) -> Iterator[Write]:
    """Open all files of a job but those that are kept; yields the function that appends to them.

    Raises
    ------
    OutputError
        If one has appeared meanwhile, or cannot be written.
    """
    job, settings, kept = active.missing, active.settings, active.kept
    with ExitStack() as files:

        def appends(path: Path | None, like: ImageFile, *, strip: bool) -> Append:
            format_ = writing.format_of(path, like)
            place = _to_stdout() if path is None else _new(path, format_)
            file = files.enter_context(place)
            return writing.append(file, format_, strip=strip)

        # The result comes first, so that it is the last to be complete: where it is, all is done.
        append: dict[Path | None, Append] = {}
        if job.output not in kept:
            append[job.output] = appends(job.output, like, strip=settings.strip)
        for path in (job.residual, job.uncertainty):
            if path is not None:
                append[path] = appends(path, _exact(path, _differences(like)), strip=True)

        def write(
            noisy: ImageFile, denoised: ImageFile, sigma: NDArray[np.floating] | None
        ) -> None:
            if job.output not in kept:
                append[job.output](denoised)
            if job.residual is not None:
                append[job.residual](_exact(job.residual, residual(noisy, denoised)))
            if job.uncertainty is not None:
                values = np.zeros_like(_differences(noisy)) if sigma is None else sigma
                append[job.uncertainty](_exact(job.uncertainty, values))

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
