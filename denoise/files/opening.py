"""Opening files whose images, or rows of them, are read when they are needed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from denoise.errors import ImageError
from denoise.files.bytes import content_of
from denoise.files.decoding import as_image_file, errors_explained, pixel_limit
from denoise.files.formats import Format, recognise
from denoise.files.image_file import Decoded, ImageFile
from denoise.files.pages import Pages

# This many bytes at the start of a file show its format.
HEAD = 64


@dataclass(frozen=True)
class OpenFile:
    """A file that is open.

    Attributes
    ----------
    path : or a name such as "stdin"
    format : its name, as of `ImageFile`
    limit : of the pixels of an image
    """

    path: Path
    format: str
    pages: Pages
    limit: int

    def image(self, name: str, decode: Callable[[int], Decoded]) -> ImageFile:
        """What `decode` makes of pages, given the limit; errors begin with `name`."""
        with errors_explained(name, self.format):
            return as_image_file(Path(name), self.format, decode(self.limit))


@contextmanager
def open_file(
    source: Path | bytes,
    *,
    axes: str | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> Iterator[OpenFile | None]:
    """Open a file; None if it is of a format whose files are read at once.

    Parameters
    ----------
    source, axes, max_pixels, name : see `files.series.open_series`

    Raises
    ------
    ImageError
        If there is no such file, it is no image, or has other axes.
    """
    path = Path(name) if isinstance(source, bytes) else source
    format_ = recognise(path, content_of(source, HEAD))
    if format_.open_pages is None:
        if axes is not None:
            raise ImageError(f"{path}: {format_.name} holds one image, which has no axes")
        yield None
        return
    with _opened(source, format_) as content:
        with errors_explained(str(path), format_.name):
            pages = format_.open_pages(content, axes)
        with pages:
            yield OpenFile(path, format_.name, pages, pixel_limit(max_pixels))


def _opened(source: Path | bytes, format_: Format) -> AbstractContextManager[BinaryIO | Path]:
    """What `Format.open_pages` takes."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return nullcontext(source) if format_.is_folder else source.open("rb")
