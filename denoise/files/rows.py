"""Reading and writing images that are too large for the memory, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from denoise.files.decoding import errors_explained
from denoise.files.formats import Format, format_in_pieces
from denoise.files.image_file import ImageFile
from denoise.files.images import read_image
from denoise.files.limits import check_frame
from denoise.files.opening import OpenFile, open_file
from denoise.files.samples import quantised


@dataclass(frozen=True)
class RowImage:
    """An image of which rows are read.

    Attributes
    ----------
    path : as of `ImageFile`
    size : height and width
    rows : the image between two rows, whose metadata is that of the whole
    """

    path: Path
    size: tuple[int, int]
    rows: Callable[[int, int], ImageFile]

    @cached_property
    def like(self) -> ImageFile:
        """The first row."""
        return self.rows(0, 1)

    def read(self, area: tuple[slice, slice]) -> ImageFile:
        """Some rows and columns."""
        rows, columns = area
        return self.rows(rows.start, rows.stop).cut((slice(None), columns))

    @property
    def description(self) -> str:
        """As of `ImageFile`."""
        height, width = self.size
        return self.like.description.replace(f"{width}x1 ", f"{width}x{height} ", 1)


@contextmanager
def open_rows(
    source: Path | bytes,
    *,
    frame: int | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> Iterator[RowImage]:
    """An image of which rows are read: from the file where that can be done, else from memory.

    Parameters
    ----------
    source, frame, max_pixels, name : see `read_image`

    Raises
    ------
    ImageError
        As of `read_image`.
    """
    with open_streamed(source, frame=frame, max_pixels=max_pixels, name=name) as streamed:
        yield streamed or _in_memory(
            read_image(source, frame=frame, max_pixels=max_pixels, name=name)
        )


@contextmanager
def open_streamed(
    source: Path | bytes,
    *,
    frame: int | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> Iterator[RowImage | None]:
    """The same from the file; None if its format has to be read at once."""
    with open_file(source, max_pixels=max_pixels, name=name) as file:
        yield None if file is None else _streamed(file, frame)


def _streamed(file: OpenFile, frame: int | None) -> RowImage:
    name, pages = str(file.path), file.pages
    with errors_explained(name, file.format):
        number = check_frame(frame, len(pages))
        size = pages.size(number)

    def rows(top: int, bottom: int) -> ImageFile:
        return file.image(name, lambda limit: pages.rows(number, top, bottom, limit))

    return RowImage(file.path, size, rows)


def _in_memory(image: ImageFile) -> RowImage:
    height, width = image.pixels.shape[:2]
    return RowImage(
        image.path,
        (height, width),
        lambda top, bottom: image.cut((slice(top, bottom), slice(0, width))),
    )


def rows_format(path: Path | None, like: ImageFile) -> Format:
    """The format of a file that is to hold an image like this one; see `format_in_pieces`."""
    return format_in_pieces(path, like, fault="is written at once", use="an image as large")


@contextmanager
def rows_writer(
    file: BinaryIO | Path, format_: Format, height: int, like: ImageFile, *, strip: bool
) -> Iterator[Callable[[ImageFile], None]]:
    """Write an image of this many rows; yields the function that appends some.

    Parameters
    ----------
    file : new and empty; of a folder format, the path of a folder
    like : gives metadata
    strip : leave out all of it
    """
    assert format_.new_pages is not None
    page = format_.new_pages(file, ()).page(height, like.metadata.kept(strip=strip))
    with page as write_rows:
        yield lambda rows: write_rows(quantised(rows.pixels, rows.sample_type), rows.alpha)
