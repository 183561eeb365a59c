"""What a format with several images in a file has to offer: one at a time, or rows of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self

from numpy.typing import NDArray

from denoise.files.image_file import Decoded, Metadata
from denoise.files.limits import check_frame

# Appends rows of an image: samples (rows, width) or (rows, width, 3), alpha (rows, width) or None.
WriteRows = Callable[[NDArray[Any], NDArray[Any] | None], None]
# Names and lengths of the axes along which images lie, slowest first, such as ("T", 5), ("Z", 3).
Axes = tuple[tuple[str, int], ...]


class Pages(ABC):
    """The images of a file that is open; `with` closes what they opened themselves.

    Attributes
    ----------
    axes : along which they lie; empty where the file does not say so
    stored_axes : those of the array that holds them, which `axes` may divide otherwise
    """

    axes: Axes
    stored_axes: Axes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The file itself stays open: it belongs to the caller."""
        return

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def size(self, number: int) -> tuple[int, int]:
        """Height and width of image `number`, from 0, by the header."""

    @abstractmethod
    def decode(self, number: int, max_pixels: int, *, whole_file: bool) -> Decoded:
        """One image.

        Parameters
        ----------
        number : from 0
        max_pixels : larger images are refused
        whole_file : what the file says of all its images stays true; else it is left out

        Raises
        ------
        ImageError
            If it is too large, or of a kind that cannot be denoised.
        """

    @abstractmethod
    def rows(
        self, number: int, top: int, bottom: int, max_pixels: int, *, whole_file: bool
    ) -> Decoded:
        """The rows of an image from `top` to before `bottom`, without reading the others.

        Their metadata is that of the image, as of `decode`.

        Raises
        ------
        ImageError
            As of `decode`.
        """

    def alone(self, frame: int | None, max_pixels: int) -> Decoded:
        """One image by itself.

        Parameters
        ----------
        frame : from 1; None if there is only one

        Raises
        ------
        ImageError
            If there are several to choose from, or it is refused by `decode`.
        """
        number = check_frame(frame, len(self))
        decoded = self.decode(number, max_pixels, whole_file=len(self) == 1)
        return decoded._replace(frames=len(self), axes=self.axes)


class PagesWriter(ABC):
    """Writes the images of a file, one after the other."""

    @abstractmethod
    def page(self, height: int, metadata: Metadata) -> AbstractContextManager[WriteRows]:
        """Append an image of this many rows; yields the function that appends rows to it."""

    def write(self, samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> None:
        """Append samples (height, width) or (height, width, 3) and alpha (height, width)."""
        with self.page(len(samples), metadata) as write_rows:
            write_rows(samples, alpha)
