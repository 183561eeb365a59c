"""What a format with several images in a file has to offer: one at a time, in and out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from numpy.typing import NDArray

from denoise.files.image_file import Decoded, Metadata
from denoise.files.limits import check_frame

# Opens a page; with it, appends samples (rows, width) or (rows, width, 3) and alpha (rows, width).
WriteRows = Callable[[NDArray[Any], NDArray[Any] | None], None]
RowsWriter = AbstractContextManager[WriteRows]
# Names and lengths of the axes along which images lie, slowest first, such as ("T", 5), ("Z", 3).
Axes = tuple[tuple[str, int], ...]


class Pages(Protocol):
    """The images of a file that is open; `with` closes it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def __len__(self) -> int:
        """How many images there are."""

    @property
    def axes(self) -> Axes:
        """The axes along which they lie; empty where the file does not say so."""

    @property
    def stored_axes(self) -> Axes:
        """Those of the array that holds them, which `axes` may divide otherwise."""

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


@runtime_checkable
class RowPages(Pages, Protocol):
    """Images of which some rows can be read without the others."""

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of an image, by the header."""

    def rows(self, number: int, top: int, bottom: int, max_pixels: int) -> Decoded:
        """The rows from `top` to before `bottom`; their metadata is that of the image.

        Raises
        ------
        ImageError
            As of `decode`.
        """


class PagesWriter(Protocol):
    """Writes the images of a file, one after the other."""

    def write(self, samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> None:
        """Append samples (height, width) or (height, width, 3) and alpha (height, width)."""


def decode_frame(pages: Pages, frame: int | None, max_pixels: int) -> Decoded:
    """One image of a file; see `Format.decode`.

    Raises
    ------
    ImageError
        If there are several to choose from, or it is refused by `Pages.decode`.
    """
    number = check_frame(frame, len(pages))
    decoded = pages.decode(number, max_pixels, whole_file=len(pages) == 1)
    return decoded._replace(frames=len(pages), axes=pages.axes)
