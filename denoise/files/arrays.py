"""Files that hold one array: where its images lie, and how they are read and written one by one.

Each axis has a letter, in the order of NumPy's shape: Y and X are an image's own, S is that of the
samples of a pixel, and images lie along all others.
"""

from __future__ import annotations

import io
import math
import mmap
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from denoise.errors import DamagedImageError, ImageError
from denoise.files.axes import UNNAMED, divided, is_fit, letters_and_lengths
from denoise.files.bytes import contents
from denoise.files.limits import check_size
from denoise.files.pages import Axes
from denoise.files.samples import join_alpha, with_equal_channels

INNER = "YXS"
MOST_AXES = len(UNNAMED + "YX")
MOST_SAMPLES = 4
# Bytes that are written at a time.
PIECE = 2**20


@dataclass(frozen=True)
class ArrayShape:
    """The axes of an array: a letter and a length for each.

    Attributes
    ----------
    divided : axes along which its images lie by the user, who may divide them otherwise than the
        array does; None if the array's own hold
    """

    letters: str
    lengths: tuple[int, ...]
    divided: Axes | None = None

    @classmethod
    def of(cls, letters: str, axes: Axes, image: tuple[int, ...]) -> ArrayShape:
        """Of images (height, width, samples) along some axes; further letters have length 1."""
        lengths = {**dict(axes), **dict(zip(INNER, image, strict=True))}
        return cls(letters, tuple(lengths.get(letter, 1) for letter in letters))

    @property
    def outer(self) -> Axes:
        """The axes along which images lie, those of length 1 included."""
        return tuple(axis for axis in self._pairs if axis[0] not in INNER)

    @property
    def inner(self) -> str:
        """Letters of the axes of an image, as they are stored."""
        return "".join(letter for letter in self.letters if letter in INNER)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        lengths = dict(self._pairs)
        return lengths["Y"], lengths["X"]

    @property
    def is_sequence(self) -> bool:
        """Whether images follow each other in C order."""
        return self.letters.endswith(self.inner)

    def __len__(self) -> int:
        """How many images there are."""
        return math.prod(length for _, length in self.outer)

    def index(self, number: int) -> tuple[int | slice, ...]:
        """What of the array is image `number`, from 0."""
        lengths = tuple(length for _, length in self.outer)
        places = iter(np.unravel_index(number, lengths))
        return tuple(slice(None) if one in INNER else int(next(places)) for one in self.letters)

    def image_in(self, array: Any, number: int) -> NDArray[Any]:
        """Image `number`, from 0, of an array, as (height, width) or (height, width, samples).

        Parameters
        ----------
        array : of NumPy, or of another library that is indexed like those

        Returns
        -------
        array of its own, in the byte order of this machine
        """
        stored = array[self.index(number)]
        image = stored.transpose([self.inner.index(one) for one in INNER if one in self.inner])
        return np.asarray(image.astype(image.dtype.newbyteorder("="), order="C"))

    def as_stored(self, image: NDArray[Any]) -> NDArray[Any]:
        """An image (height, width, samples) with its axes in the order of the array."""
        flat = image if "S" in self.letters else image[..., 0]
        return flat.transpose([INNER.index(letter) for letter in self.inner])

    @property
    def _pairs(self) -> Axes:
        return tuple(zip(self.letters, self.lengths, strict=True))


def check_axes(lengths: tuple[int, ...]) -> None:
    """Raise an ImageError if there are fewer axes than those of an image, or too many."""
    if not 2 <= len(lengths) <= MOST_AXES:
        raise ImageError(f"is an array of {len(lengths)} axes; 2 to {MOST_AXES} can be read")


def array_shape(lengths: tuple[int, ...], usual: str, names: str | None) -> ArrayShape:
    """The axes of an array in a file.

    Parameters
    ----------
    usual : their letters if nothing else is said
    names : letters by the user, slowest first; those of an image may be left out where they are
        the usual ones. With lengths other than those of the array, such as "T6C2YX" for 12 images
        along one axis, they divide the images of the usual axes.

    Raises
    ------
    ImageError
        If names and lengths do not fit, or there is no value.
    """
    letters, given = letters_and_lengths(usual if names is None else names)
    inner = "".join(letter for letter in usual if letter in INNER)
    outer = letters.removesuffix(inner)
    if not set(letters) & set(INNER):
        letters += inner
    fits = is_fit(letters, lengths, given)
    if names is not None and given and not fits and not set(outer) & set(INNER):
        shape = array_shape(lengths, usual, None)
        return replace(shape, divided=divided(names, outer, given, len(shape)))
    known = "x".join(str(length) for length in lengths)
    distinct = len(set(letters)) == len(letters) and letters.isalpha()
    if not fits or not distinct or not {"Y", "X"} <= set(letters):
        raise ImageError(
            f"axes {names} do not fit an array of {known}; give a letter for each of its axes, such"
            " as TYX, with Y and X for those of an image and S for its colours"
        )
    if 0 in lengths:
        raise DamagedImageError(f"damaged image file: its size is {known}")
    shape = ArrayShape(letters, lengths)
    samples = dict(zip(letters, lengths, strict=True)).get("S", 1)
    if samples > MOST_SAMPLES:
        raise ImageError(f"has {samples} channels; gray or RGB, with or without alpha, can be read")
    return shape


def _array_in(
    buffer: bytes | memoryview | mmap.mmap,
    start: int,
    dtype: np.dtype[Any],
    shape: ArrayShape,
    *,
    fortran: bool = False,
) -> NDArray[Any]:
    """The array that begins `start` bytes after the begin of a buffer, which it shares."""
    return np.ndarray(shape.lengths, dtype, buffer, start, order="F" if fortran else "C")


class ArrayPages(ABC):
    """The images of an array; formats add `decode` (see `files.pages.Pages`)."""

    def __init__(self, shape: ArrayShape) -> None:
        self._shape = shape
        self.stored_axes = tuple(axis for axis in shape.outer if axis[1] > 1)
        self.axes = self.stored_axes if shape.divided is None else shape.divided

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What is open stays open: it belongs to the caller."""
        return

    def __len__(self) -> int:
        return len(self._shape)

    @abstractmethod
    def _array(self) -> Any:
        """The array, of which parts are read as they are indexed."""

    def _read(self, number: int, max_pixels: int) -> NDArray[Any]:
        """Numbers of this machine, (height, width) or (height, width, samples)."""
        height, width = self._shape.size
        check_size(width, height, max_pixels)
        return self._shape.image_in(self._array(), number)


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

    def _array(self) -> NDArray[Any]:
        # Mapped for each image anew, so that what is read does not stay in memory.
        data = contents(self._file)
        return _array_in(data, self._start, self._dtype, self._shape, fortran=self._fortran)


def letters_like(source: str, axes: Axes, samples: int, colours: str) -> str:
    """Letters for the axes of a new array.

    Parameters
    ----------
    source : those of the file that the images come from; empty if it is none of an array
    axes : along which the new ones lie
    samples : of a pixel
    colours : the axes of an image of several samples if the source says nothing
    """
    names = "".join(name for name, _ in axes)
    same_axes = "".join(one for one in source if one in names) == names
    if source and same_axes and (samples == 1 or "S" in source):
        return source
    return names + ("YX" if samples == 1 else colours)


def joined(samples: NDArray[Any], alpha: NDArray[Any] | None, source: str) -> NDArray[Any]:
    """Samples and alpha as (height, width, count), 2 only if the source has an axis for them."""
    if alpha is not None and samples.ndim == 2 and "S" not in source:
        samples = with_equal_channels(samples)
    return np.atleast_3d(join_alpha(samples, alpha))


class ArrayWriter:
    """Writes the images of an array, one after the other, from where a file ends.

    Parameters
    ----------
    file : can be searched and read
    dtype : of the numbers in the file
    fortran : the first axis is the fastest one
    """

    def __init__(
        self, file: BinaryIO, dtype: np.dtype[Any], shape: ArrayShape, *, fortran: bool = False
    ) -> None:
        self._file, self._dtype, self._shape, self._fortran = file, dtype, shape, fortran
        self._start, self._written = file.tell(), 0
        self._in_order = shape.is_sequence and not fortran
        self.nbytes = math.prod(shape.lengths) * dtype.itemsize

    @property
    def is_complete(self) -> bool:
        """Whether all images are there; the file is then at their end."""
        return self._written == len(self._shape)

    def write(self, image: NDArray[Any]) -> None:
        """Append an image (height, width, samples)."""
        stored = self._shape.as_stored(image)
        if self._in_order:
            self._file.write(stored.astype(self._dtype).tobytes())
        else:
            self._scatter(stored)
        self._written += 1

    def _scatter(self, stored: NDArray[Any]) -> None:
        """Put an image into its places between those of others."""
        if not self._written:  # a full disk is noticed here
            for start in range(0, self.nbytes, PIECE):
                self._file.write(bytes(min(PIECE, self.nbytes - start)))
            self._file.flush()
        array = _array_in(
            _writable(self._file), self._start, self._dtype, self._shape, fortran=self._fortran
        )
        array[self._shape.index(self._written)] = stored


def _writable(file: BinaryIO) -> memoryview | mmap.mmap:
    """The content of a file, where it is to be changed."""
    return file.getbuffer() if isinstance(file, io.BytesIO) else mmap.mmap(file.fileno(), 0)
