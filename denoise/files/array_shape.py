"""The axes of an array that holds images: where each image lies, and in which order its axes are.

Each axis has a letter, in the order of NumPy's shape: Y and X are an image's own, S is that of the
samples of a pixel, and images lie along all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoise.errors import DamagedImageError, ImageError
from denoise.files.axes import UNNAMED, divided, is_fit, letters_and_lengths
from denoise.files.pages import Axes
from denoise.files.samples import join_alpha, with_equal_channels

INNER = "YXS"
MOST_AXES = len(UNNAMED + "YX")
MOST_SAMPLES = 4
ALL = slice(None)


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
        """The axes along which images lie, including those of length 1."""
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
        """Whether, in C order, images follow each other, and in each of them its rows."""
        return self.letters.endswith(self.inner) and self.inner.startswith("Y")

    def __len__(self) -> int:
        """How many images there are."""
        return math.prod(length for _, length in self.outer)

    def index(self, number: int, rows: slice = ALL) -> tuple[int | slice, ...]:
        """Where in the array image `number`, from 0, is, or some rows of it."""
        places = np.unravel_index(number, tuple(length for _, length in self.outer))
        index: dict[str, int | slice] = {**dict.fromkeys(INNER, ALL), "Y": rows}
        index |= {letter: int(at) for (letter, _), at in zip(self.outer, places, strict=True)}
        return tuple(index[letter] for letter in self.letters)

    def image_in(self, array: Any, number: int, rows: slice = ALL) -> NDArray[Any]:
        """Image `number`, from 0, of an array, or some rows of it.

        Parameters
        ----------
        array : of NumPy, or of another library that is indexed like those

        Returns
        -------
        (height, width) or (height, width, samples), not shared, in the byte order of this machine
        """
        stored = array[self.index(number, rows)]
        image = stored.transpose([self.inner.index(one) for one in INNER if one in self.inner])
        return np.asarray(image.astype(image.dtype.newbyteorder("="), order="C"))

    def as_stored(self, image: NDArray[Any]) -> NDArray[Any]:
        """An image (height, width, samples) with its axes in the order of the array."""
        flat = image if "S" in self.letters else image[..., 0]
        return flat.transpose([INNER.index(letter) for letter in self.inner])

    @property
    def _pairs(self) -> Axes:
        return tuple(zip(self.letters, self.lengths, strict=True))


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
        If names and lengths do not fit, there is no value, or there are fewer axes than those of
        an image, or too many.
    """
    if not 2 <= len(lengths) <= MOST_AXES:
        raise ImageError(f"is an array of {len(lengths)} axes; 2 to {MOST_AXES} can be read")
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


def letters_like(source: str, axes: Axes, samples: int, colours: str) -> str:
    """A letter for each axis of a new array.

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
