"""Reading and writing series, files of several images of one kind, one image at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from denoise.errors import ImageError
from denoise.files.bytes import is_pipe
from denoise.files.formats import Format, format_in_pieces
from denoise.files.image_file import ImageFile
from denoise.files.opening import OpenFile, open_file
from denoise.files.pages import Axes
from denoise.files.rows import RowImage, rows_of
from denoise.files.samples import quantised

# The axes of time, and of channels of light, each with its own noise.
TIME, CHANNEL = "T", "C"


@dataclass(frozen=True)
class Series:
    """The images of a file, read one at a time."""

    _file: OpenFile

    def __len__(self) -> int:
        return len(self._file.pages)

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def axes(self) -> Axes:
        """Names and lengths of the axes along which they lie, slowest first."""
        return self._file.pages.axes

    @property
    def stored_axes(self) -> Axes:
        """Those of the array that holds them, which the user may have divided otherwise."""
        return self._file.pages.stored_axes

    @property
    def channels(self) -> int:
        """How many channels lie along an axis of their own; 1 if none do."""
        return dict(self.axes).get(CHANNEL, 1)

    def channel_of(self, number: int) -> int:
        """The channel that an image is of; both count from 0."""
        return self._place(number).get(CHANNEL, 0)

    def sequence_of(self, number: int) -> tuple[int, ...]:
        """The place of an image along all axes but time: the frames of a sequence share it.

        Without an axis T, the slowest one stands for time, but for channels.
        """
        names = [name for name, _ in self.axes if name != CHANNEL]
        time = TIME if TIME in names else next(iter(names), TIME)
        return tuple(place for name, place in self._place(number).items() if name != time)

    def _place(self, number: int) -> dict[str, int]:
        """Where an image lies along each axis."""
        places = np.unravel_index(number, tuple(length for _, length in self.axes))
        return {name: int(place) for (name, _), place in zip(self.axes, places, strict=True)}

    @cached_property
    def first(self) -> RowImage:
        """The first image; all others are like it."""
        return self._rows_of(0)

    @property
    def like(self) -> ImageFile:
        """The first row of the first image."""
        return self.first.like

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each image."""
        return self.first.size

    def frame(self, number: int) -> RowImage:
        """Image `number`, from 0, of which rows are read.

        Raises
        ------
        ImageError
            If it cannot be denoised, or is unlike the first one.
        """
        image = self._rows_of(number) if number > 0 else self.first
        if image.kind != self.first.kind:
            raise ImageError(
                f"{image.path} is {image.description}, and the first one"
                f" {self.first.description}; choose one at a time with --frame"
            )
        return image

    def read(self, number: int) -> ImageFile:
        """Image `number`, from 0, as a whole.

        Raises
        ------
        ImageError
            If it is damaged, cannot be denoised, or is unlike the first one.
        """
        name, pages = str(self.frame(number).path), self._file.pages
        return self._file.image(name, lambda limit: pages.decode(number, limit, whole_file=True))

    def _rows_of(self, number: int) -> RowImage:
        place = f": image {number + 1} of {len(self)}" if len(self) > 1 else ""
        return rows_of(self._file, number, f"{self.path}{place}", whole_file=True)


@contextmanager
def open_series(
    source: Path | bytes,
    *,
    axes: str | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> Iterator[Series | None]:
    """The images of a file; None if it is of a format without series, or holds one as usual.

    Parameters
    ----------
    source : a file, the bytes of one, or a folder of OME-Zarr
    axes : names of the axes, slowest first, such as "TCYX", perhaps with lengths, such as "T6C2YX";
        by default those that the file says. With them, a file of one image is a series of one.
    max_pixels : larger images are refused; by default as of `read_image`
    name : of bytes, for messages

    Raises
    ------
    ImageError
        If there is no such file, it is no image, or has other axes.
    """
    with open_file(source, axes=axes, max_pixels=max_pixels, name=name) as file:
        is_series = file is not None and (len(file.pages) > 1 or axes is not None)
        yield Series(file) if file is not None and is_series else None


def count_images(path: Path | None) -> int:
    """How many images a file holds; 1 if it cannot be read, or is a pipe."""
    if path is None or is_pipe(path):
        return 1
    try:
        with open_series(path) as series:
            return 1 if series is None else len(series)
    except ImageError:
        return 1


def series_format(path: Path | None, like: ImageFile) -> Format:
    """The format of a file that is to hold images like this one; see `format_in_pieces`."""
    return format_in_pieces(path, like, fault="holds one image", use="several")


class SeriesWriter:
    """Writes a file of several images, or of one, one after the other, or some rows at a time.

    Parameters
    ----------
    file : new and empty; of a folder format, the path of a folder
    axes : along which all of them lie, as they are to be stored
    strip : leave out all metadata
    height : of the images, in rows; by default that of what is written at once
    """

    def __init__(
        self,
        file: BinaryIO | Path,
        format_: Format,
        axes: Axes,
        *,
        strip: bool,
        height: int | None = None,
    ) -> None:
        assert format_.new_pages is not None
        self._pages = format_.new_pages(file, axes)
        self._strip, self._height = strip, height
        self._page = ExitStack()
        self._left = 0  # rows of the image at hand

    def write(self, rows: ImageFile) -> None:
        """Append rows, of the sample type of the first ones.

        The metadata of an image is that of its first rows.
        """
        if self._left == 0:
            self._left = self._height or len(rows.pixels)
            page = self._pages.page(self._left, rows.metadata.kept(strip=self._strip))
            self._append = self._page.enter_context(page)
        self._append(quantised(rows.pixels, rows.sample_type), rows.alpha)
        self._left -= len(rows.pixels)
        if self._left == 0:
            self._page.close()
