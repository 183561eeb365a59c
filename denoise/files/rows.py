"""Images too large for the memory: some rows are read, and written, at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from denoise.files.bytes import content_of
from denoise.files.decoding import as_image_file, errors_explained, pixel_limit
from denoise.files.formats import Format, format_with
from denoise.files.image_file import ImageFile
from denoise.files.images import HEAD, read_image, recognise
from denoise.files.limits import check_frame
from denoise.files.pages import RowPages
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
    path = Path(name) if isinstance(source, bytes) else source
    format_ = recognise(path, content_of(source, HEAD))
    if format_.open_pages is None or format_.is_folder:
        yield None
        return
    with io.BytesIO(source) if isinstance(source, bytes) else path.open("rb") as file:
        with errors_explained(str(path), format_.name):
            pages = format_.open_pages(file, None)
        with pages:
            if not isinstance(pages, RowPages):
                yield None
                return
            with errors_explained(str(path), format_.name):
                number = check_frame(frame, len(pages))
                size = pages.size(number)
            yield RowImage(path, size, _reader(path, format_, pages, number, max_pixels))


def _reader(
    path: Path, format_: Format, pages: RowPages, number: int, max_pixels: int | None
) -> Callable[[int, int], ImageFile]:
    limit = pixel_limit(max_pixels)

    def rows(top: int, bottom: int) -> ImageFile:
        with errors_explained(str(path), format_.name):
            return as_image_file(path, format_.name, pages.rows(number, top, bottom, limit))

    return rows


def _in_memory(image: ImageFile) -> RowImage:
    height, width = image.pixels.shape[:2]
    return RowImage(
        image.path,
        (height, width),
        lambda top, bottom: image.cut((slice(top, bottom), slice(0, width))),
    )


def rows_format(path: Path | None, like: ImageFile) -> Format:
    """The format of a file that is to hold an image like this one, written some rows at a time.

    Parameters
    ----------
    path : decides by its suffix; None means the format of `like`

    Raises
    ------
    OutputError
        If it has to be written at once, or holds none like this.
    """
    return format_with("new_rows", "is written at once", "an image as large", path, like)


@contextmanager
def rows_writer(
    file: BinaryIO, format_: Format, height: int, like: ImageFile, *, strip: bool
) -> Iterator[Callable[[ImageFile], None]]:
    """Write an image of this many rows; yields the function that appends some.

    Parameters
    ----------
    file : new and empty
    like : gives metadata
    strip : leave out all of it
    """
    assert format_.new_rows is not None
    metadata = like.metadata.stripped if strip else like.metadata
    with format_.new_rows(file, height, metadata) as write_rows:
        yield lambda rows: write_rows(quantised(rows.pixels, rows.sample_type), rows.alpha)
