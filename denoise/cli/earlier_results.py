"""What `--skip-existing` finds: results that are whole, damaged ones, and files of the user's.

A damaged file is made anew only if it can be a result of this image: it is of the image's size,
as far as its header says, or empty. Whatever else is there is the user's and stays.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image
from tifffile import TiffFile, TiffPage

from denoise.errors import DamagedImageError, ImageError, OutputError
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
    path: Path, series: Series, first: ImageFile, *, max_pixels: int | None
) -> bool:
    """Whether the result of a series is there; see `is_whole`."""
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return False
    try:
        with open_series(path, max_pixels=max_pixels) as found:
            count = 1 if found is None else len(found)
            if found is None or count != len(series):
                raise _not_ours(path, f"holds {count} images, not {len(series)}")
            shapes = {found.read(number).pixels.shape for number in range(count)}
    except DamagedImageError:
        raise _not_ours(path, "is damaged, and not known to be a result of this file") from None
    except ImageError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise _not_ours(path, f"is no result of this file: {reason}") from None
    if shapes != {first.pixels.shape}:
        raise _not_ours(path, f"holds images of other sizes than {first.description}")
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
    data = path.read_bytes()
    try:
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
