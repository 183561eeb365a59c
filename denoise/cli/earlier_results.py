"""What `--skip-existing` and `denoise finish` find: whole results, damaged ones, and others' files.

A damaged file is made anew only if it can be a result of this image: it is of the image's size,
as far as its header says, or empty. Whatever else is there is the user's and stays.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

from PIL import Image
from tifffile import TiffFile, TiffPage

from denoise.cli.jobs import FileJob
from denoise.cli.opened import Noisy, open_input
from denoise.cli.report import FileReport
from denoise.cli.series_parts import SeriesParts
from denoise.cli.settings import Settings
from denoise.errors import DamagedImageError, DenoiseError, ImageError, OutputError
from denoise.files import ifd
from denoise.files.decoding import DECODER_ERRORS
from denoise.files.formats import IMAGE_SUFFIXES
from denoise.files.image_file import ImageFile
from denoise.files.images import read_image
from denoise.files.rows import RowImage, open_rows
from denoise.files.series import Series, open_series
from denoise.files.tiff import is_tiff

# At most this many images of a file are listed.
MOST_NUMBERS = 20


def look_for_results(job: FileJob, settings: Settings) -> FileReport:
    """What a run with `--skip-existing` would find: "skipped" if all files are there and whole.

    Otherwise the report is "failed" and says which files are not.
    """
    report = FileReport(job.input_name, job.output_name, "skipped")
    try:
        if job.in_place:
            raise OutputError(f"{job.output}: is the input; nothing tells whether it is denoised")
        with open_input(job, settings) as noisy:
            whole = whole_files(job, noisy, settings)
            images = _images_left(job, noisy)
        faults = [
            f"{path} is {'damaged' if os.path.exists(path) else 'missing'}"
            for path in job.outputs
            if path not in whole
        ]
        if faults and images:
            faults.append(f"images {images} of it are not done")
    except DenoiseError as error:
        return replace(report, status="failed", error=str(error))
    if not faults:
        return report
    return replace(report, status="failed", error=f"{job.input_name}: {', '.join(faults)}")


def _images_left(job: FileJob, noisy: Noisy) -> str:
    """Which images of a series are not done, from 1; empty if it was not shared out."""
    if not isinstance(noisy, Series) or job.output is None:
        return ""
    parts = SeriesParts(job.output, noisy)
    numbers = [str(number + 1) for number in parts.missing()] if parts.folder.exists() else []
    shown = numbers if len(numbers) <= MOST_NUMBERS else [*numbers[:MOST_NUMBERS], "..."]
    return ", ".join(shown)


def whole_files(job: FileJob, noisy: Noisy, settings: Settings) -> frozenset[Path]:
    """The files of a job that are there and whole; they stay as they are.

    Raises
    ------
    OutputError
        If there is a file in the place of the result that is none.
    """
    whole = {path for path in job.extras if _is_whole_extra(path)}
    if job.output is not None and _is_whole(job.output, noisy, settings):
        whole.add(job.output)
    return frozenset(whole)


def _is_whole(path: Path, noisy: Noisy, settings: Settings) -> bool:
    """Whether the result is there; False if it is missing, or damaged.

    Raises
    ------
    OutputError
        If the file is there, but no result of this input.
    """
    if _is_missing(path):
        return False
    of_what = "file" if isinstance(noisy, Series) else "image"
    try:
        if isinstance(noisy, Series):
            fault = _unlike_series(path, noisy, settings)
        else:
            fault = _unlike_image(path, noisy, settings)
    except _DamagedResult:
        return False
    except DamagedImageError:
        fault = f"is damaged, and not known to be a result of this {of_what}"
    except ImageError as error:
        reason = str(error).removeprefix(f"{path}: ")
        fault = f"is no result of this {of_what}: {reason}"
    if fault is not None:
        raise OutputError(f"{path}: exists already and {fault}; use --overwrite or another name")
    return True


class _DamagedResult(Exception):
    """A file is damaged that is known to be a result of the input."""


def _unlike_image(path: Path, noisy: ImageFile | RowImage, settings: Settings) -> str | None:
    """How the image in a file differs from a result; None if it may be one, and is whole."""
    if isinstance(noisy, RowImage):
        like, size = noisy.like, noisy.size
    else:
        like, size = noisy, noisy.picture.shape
    of_our_size = False
    try:
        with open_rows(path, max_pixels=settings.max_pixels) as found:
            of_our_size = found.size == size
            if not of_our_size or found.like.channels != like.channels:
                return f"is {found.description}, no result of {noisy.description}"
            _read_all(found)
    except DamagedImageError:
        if of_our_size or _declared_size(path) == size:
            raise _DamagedResult from None
        raise
    return None


def _unlike_series(path: Path, series: Series, settings: Settings) -> str | None:
    """How a file of several images differs from a result; None if it may be one, and is whole."""
    same_format = path.suffix.lower() == series.path.suffix.lower()
    axes = settings.axes if same_format else None
    with open_series(path, axes=axes, max_pixels=settings.max_pixels) as found:
        count = 1 if found is None else len(found)
        if found is None or count != len(series):
            return f"holds {count} images, not {len(series)}"
        try:
            for number in range(count):
                _read_all(found.frame(number))
        except DamagedImageError:
            raise _DamagedResult from None
        if (found.size, found.like.channels) != (series.size, series.like.channels):
            return f"holds images of other sizes than {series.first.description}"
    return None


def _read_all(image: RowImage) -> None:
    """Raise an error if some rows of an image are damaged."""
    for top, bottom in image.pieces():
        image.rows(top, bottom)


def _is_missing(path: Path) -> bool:
    """Whether there is nothing of a file, as where a disk was full."""
    return not os.path.exists(path) or os.path.getsize(path) == 0


def _is_whole_extra(path: Path) -> bool:
    """Whether another file about an image is there; False if it is missing, empty or damaged."""
    if _is_missing(path):
        return False
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return True
    try:
        read_image(path)
    except DamagedImageError:
        return False
    except ImageError:
        return True  # the user's own
    return True


def _declared_size(path: Path) -> tuple[int, int] | None:
    """Height and width of the only image in a damaged file by its header, if that is there."""
    try:
        data = path.read_bytes()
        if is_tiff(data):
            alone = len(ifd.directory_offsets(data)) == 1
            with TiffFile(io.BytesIO(data)) as file:
                page = file.pages.first
                assert isinstance(page, TiffPage)
                return (page.imagelength, page.imagewidth) if alone else None
        with Image.open(io.BytesIO(data)) as image:
            return image.size[::-1] if getattr(image, "n_frames", 1) == 1 else None
    except (DamagedImageError, *DECODER_ERRORS):
        return None
