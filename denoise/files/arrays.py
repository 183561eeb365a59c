"""Files that hold one array: its images are read and written one by one, or some rows at a time."""

from __future__ import annotations

import io
import math
import mmap
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from denoise.files.array_shape import ALL, ArrayShape, joined, letters_like
from denoise.files.bytes import contents
from denoise.files.image_file import Decoded, Metadata
from denoise.files.limits import check_size
from denoise.files.pages import Axes, Pages, PagesWriter, WriteRows

# Bytes that are written at a time.
PIECE = 2**20


class ArrayPages(Pages):
    """The images of an array; formats add how numbers are read, and what they mean."""

    def __init__(self, shape: ArrayShape) -> None:
        self._shape = shape
        self.stored_axes = tuple(axis for axis in shape.outer if axis[1] > 1)
        self.axes = self.stored_axes if shape.divided is None else shape.divided

    def __len__(self) -> int:
        return len(self._shape)

    def size(self, number: int) -> tuple[int, int]:
        return self._shape.size

    def decode(self, number: int, max_pixels: int, *, whole_file: bool) -> Decoded:
        self._check(max_pixels)
        return self._decoded(self._read(number, ALL), whole_file=whole_file)

    def rows(
        self, number: int, top: int, bottom: int, max_pixels: int, *, whole_file: bool
    ) -> Decoded:
        self._check(max_pixels)
        return self._decoded(self._read(number, slice(top, bottom)), whole_file=whole_file)

    def _check(self, max_pixels: int) -> None:
        height, width = self._shape.size
        check_size(width, height, max_pixels)

    @abstractmethod
    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        """Numbers of this machine, (height, width) or (height, width, samples)."""

    @abstractmethod
    def _decoded(self, image: NDArray[Any], *, whole_file: bool) -> Decoded:
        """What these numbers are, as of `Pages.decode`."""


class FileArrayPages(ArrayPages):
    """The images of an array in one piece of a file.

    Parameters
    ----------
    file : stays open
    start : of the array, in bytes
    dtype : of the numbers in the file
    fortran : the first axis is the fastest one
    """

    def __init__(
        self,
        file: BinaryIO,
        start: int,
        dtype: np.dtype[Any],
        shape: ArrayShape,
        *,
        fortran: bool = False,
    ) -> None:
        super().__init__(shape)
        self._file, self._start, self._dtype, self._fortran = file, start, dtype, fortran

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        # Mapped for each image anew, so that what is read does not stay in memory.
        data = contents(self._file)
        array = _array_in(data, self._start, self._dtype, self._shape, fortran=self._fortran)
        return self._shape.image_in(array, number, rows)


class ArrayWriter(PagesWriter):
    """Writes the images of an array; formats add how it begins, takes numbers and ends.

    Parameters
    ----------
    axes : along which all images will lie
    """

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._shape: ArrayShape | None = None
        self._rows = 0  # of all images together

    @contextmanager
    def page(self, height: int, metadata: Metadata) -> Iterator[WriteRows]:
        def write_rows(samples: NDArray[Any], alpha: NDArray[Any] | None) -> None:
            image = joined(samples, alpha, self._letters(metadata))
            if self._shape is None:
                self._shape = self._begin((height, *image.shape[1:]), image.dtype, metadata)
            number, top = divmod(self._rows, height)
            self._put(self._shape.as_stored(image), number, slice(top, top + len(image)))
            self._rows += len(image)

        yield write_rows
        assert self._shape is not None
        if self._rows == height * len(self._shape):
            self._end(metadata)

    @abstractmethod
    def _letters(self, metadata: Metadata) -> str:
        """The axes of the source; empty if it is of another format, or the image stands alone."""

    @abstractmethod
    def _begin(
        self, image: tuple[int, ...], dtype: np.dtype[Any], metadata: Metadata
    ) -> ArrayShape:
        """Write all before the first image (height, width, samples); returns the array's shape."""

    @abstractmethod
    def _put(self, stored: NDArray[Any], number: int, rows: slice) -> None:
        """Write rows of image `number`, whose axes are in the order of the array."""

    def _end(self, metadata: Metadata) -> None:
        """Write all after the last image."""
        return


class FileArrayWriter(ArrayWriter):
    """Writes an array in one piece of a file.

    Parameters
    ----------
    file : new and empty, can be searched and read

    Attributes
    ----------
    colours : the axes of an image of several samples if the source says nothing
    """

    colours: ClassVar[str]

    def __init__(self, file: BinaryIO, axes: Axes) -> None:
        super().__init__(axes)
        self._file = file

    def _begin(
        self, image: tuple[int, ...], dtype: np.dtype[Any], metadata: Metadata
    ) -> ArrayShape:
        letters = letters_like(self._letters(metadata), self._axes, image[2], self.colours)
        shape = ArrayShape.of(letters, self._axes, image)
        self._dtype, self._fortran = self._write_header(shape, dtype, metadata)
        self._start = self._file.tell()
        self._nbytes = math.prod(shape.lengths) * self._dtype.itemsize
        self._in_order = shape.is_sequence and not self._fortran
        if not self._in_order:  # a full disk is noticed here
            for start in range(0, self._nbytes, PIECE):
                self._file.write(bytes(min(PIECE, self._nbytes - start)))
            self._file.flush()
        return shape

    @abstractmethod
    def _write_header(
        self, shape: ArrayShape, dtype: np.dtype[Any], metadata: Metadata
    ) -> tuple[np.dtype[Any], bool]:
        """Write all before the array; returns its type in the file, and whether it is Fortran's."""

    def _put(self, stored: NDArray[Any], number: int, rows: slice) -> None:
        if self._in_order:
            self._file.write(stored.astype(self._dtype).tobytes())
            return
        shape, content = self._shape, _writable(self._file)
        assert shape is not None
        array = _array_in(content, self._start, self._dtype, shape, fortran=self._fortran)
        array[shape.index(number, rows)] = stored


def _array_in(
    buffer: bytes | memoryview | mmap.mmap,
    start: int,
    dtype: np.dtype[Any],
    shape: ArrayShape,
    *,
    fortran: bool,
) -> NDArray[Any]:
    """The array that begins `start` bytes after the begin of a buffer, which it shares."""
    return np.ndarray(shape.lengths, dtype, buffer, start, order="F" if fortran else "C")


def _writable(file: BinaryIO) -> memoryview | mmap.mmap:
    """The content of a file, where it is to be changed."""
    return file.getbuffer() if isinstance(file, io.BytesIO) else mmap.mmap(file.fileno(), 0)
