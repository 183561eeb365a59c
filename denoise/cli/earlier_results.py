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

# Rows of a large image that are read at a time to find damage.
CHECKED_ROWS = 256
# So many images of a file are listed.
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
    whole = {path for path in job.extras if is_whole_extra(path)}
    output, limit = job.output, settings.max_pixels
    if output is None:
        return frozenset(whole)
    if isinstance(noisy, Series):
        found = is_whole_series(output, noisy, axes=settings.axes, max_pixels=limit)
    elif isinstance(noisy, RowImage):
        found = is_whole_large(output, noisy, max_pixels=limit)
    else:
        found = is_whole(output, noisy, max_pixels=limit)
    return frozenset({*whole, output} if found else whole)


def is_whole(path: Path, noisy: ImageFile, *, max_pixels: int | None) -> bool:
    """Whether the result of an image is there; False if it is missing, or damaged.

    Raises
    ------
    OutputError
        If the file is there, but no result of this image.
    """
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return False
    try:
        found = read_image(path, max_pixels=max_pixels)
    except DamagedImageError:
        if _declared_size(path) == _size(noisy):
            return False
        raise _not_ours(path, "is damaged, and not known to be a result of this image") from None
    except ImageError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise _not_ours(path, f"is no result of this image: {reason}") from None
    if found.pixels.shape != noisy.pixels.shape:
        raise _not_ours(
            path, f"is {found.description}, no result of this image, {noisy.description}"
        )
    return True


def is_whole_series(
    path: Path, series: Series, *, axes: str | None, max_pixels: int | None
) -> bool:
    """Whether the result of a series is there; see `is_whole`."""
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return False
    same_format = path.suffix.lower() == series.path.suffix.lower()
    try:
        with open_series(path, axes=axes if same_format else None, max_pixels=max_pixels) as found:
            count = 1 if found is None else len(found)
            if found is None or count != len(series):
                raise _not_ours(path, f"holds {count} images, not {len(series)}")
            try:
                shapes = {found.read(number).pixels.shape for number in range(count)}
            except DamagedImageError:
                return False
    except DamagedImageError:
        raise _not_ours(path, "is damaged, and not known to be a result of this file") from None
    except ImageError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise _not_ours(path, f"is no result of this file: {reason}") from None
    if shapes != {series.first.pixels.shape}:
        raise _not_ours(path, f"holds images of other sizes than {series.first.description}")
    return True


def is_whole_large(path: Path, image: RowImage, *, max_pixels: int | None) -> bool:
    """Whether the result of an image that is read in rows is there; see `is_whole`."""
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return False
    try:
        with open_rows(path, max_pixels=max_pixels) as found:
            if (found.size, found.like.channels) != (image.size, image.like.channels):
                raise _not_ours(path, f"is {found.description}, no result of {image.description}")
            for row in range(0, found.size[0], CHECKED_ROWS):
                found.rows(row, min(row + CHECKED_ROWS, found.size[0]))
    except DamagedImageError:
        raise _not_ours(path, "is damaged, and not known to be a result of this image") from None
    except ImageError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise _not_ours(path, f"is no result of this image: {reason}") from None
    return True


def is_whole_extra(path: Path) -> bool:
    """Whether another file about an image is there; False if it is missing, empty or damaged."""
    if not os.path.exists(path) or os.path.getsize(path) == 0:
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


def _not_ours(path: Path, what: str) -> OutputError:
    return OutputError(f"{path}: exists already and {what}; use --overwrite or another name")


def _size(image: ImageFile) -> tuple[int, int]:
    return image.pixels.shape[1], image.pixels.shape[0]


def _declared_size(path: Path) -> tuple[int, int] | None:
    """Width and height of the only image in a damaged file by its header, if that is there."""
    try:
        data = path.read_bytes()
        if is_tiff(data):
            alone = len(ifd.directory_offsets(data)) == 1
            with TiffFile(io.BytesIO(data)) as file:
                page = file.pages.first
                assert isinstance(page, TiffPage)
                return (page.imagewidth, page.imagelength) if alone else None
        with Image.open(io.BytesIO(data)) as image:
            return image.size if getattr(image, "n_frames", 1) == 1 else None
    except (DamagedImageError, *DECODER_ERRORS):
        return None
