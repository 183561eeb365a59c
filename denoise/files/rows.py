"""Reading images that are too large for the memory, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from denoise.files.decoding import errors_explained
from denoise.files.formats import Format, format_in_pieces
from denoise.files.image_file import ImageFile
from denoise.files.images import read_image
from denoise.files.limits import check_frame
from denoise.files.opening import OpenFile, open_file

# Pixels of an image that are read at once where order does not matter, about.
PIECE = 2**22


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

    def all(self) -> ImageFile:
        """The whole image."""
        return self.rows(0, self.size[0])

    def pieces(self) -> Iterator[tuple[int, int]]:
        """The first and last row, exclusively, of pieces that are small enough to be read."""
        height, width = self.size
        step = max(1, PIECE // width)
        return ((top, min(top + step, height)) for top in range(0, height, step))

    @property
    def kind(self) -> tuple[object, ...]:
        """What all images of a file have in common."""
        like = self.like
        return self.size, like.channels, like.sample_type, like.alpha is None

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
    axes: str | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> Iterator[RowImage | None]:
    """The same from the file; None if its format has to be read at once."""
    with open_file(source, axes=axes, max_pixels=max_pixels, name=name) as file:
        if file is None:
            yield None
            return
        with errors_explained(str(file.path), file.format):
            number = check_frame(frame, len(file.pages))
        yield rows_of(file, number, str(file.path), whole_file=len(file.pages) == 1)


def rows_of(file: OpenFile, number: int, name: str, *, whole_file: bool) -> RowImage:
    """Image `number`, from 0, of a file that is open.

    Parameters
    ----------
    name : for messages
    whole_file : see `Pages.decode`
    """
    pages = file.pages
    with errors_explained(name, file.format):
        size = pages.size(number)

    def rows(top: int, bottom: int) -> ImageFile:
        return file.image(
            name, lambda limit: pages.rows(number, top, bottom, limit, whole_file=whole_file)
        )

    return RowImage(Path(name), size, rows)


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
