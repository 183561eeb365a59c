"""Writing TIFF: for each page strips of pixels, then a directory with the tags of the source.

It is written here since tifffile refuses EXIF directories, and Pillow deep colour.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from denoise.files import ifd
from denoise.files.image_file import Metadata, TiffLayout
from denoise.files.pages import Axes, PagesWriter, WriteRows
from denoise.files.samples import join_alpha

NONE, LZW, DEFLATE = 1, 5, 8
BLACK_IS_ZERO, RGB = 1, 2
DESCRIPTION, RESOLUTION, RESOLUTION_UNIT, XMP, PROFILE = 270, 282, 296, 700, 34_675
# Tags about the storage of pixels, previews and tiles, which the writer sets itself or which
# are not true any more.
STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284),
    *(288, 289, 290, 291, 292, 293, 317, 320, 322, 323, 324, 325, 330, 334, 336, 338, 339, 340),
    *(341, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532, 32_997, 32_998),
}
TEXT_TAGS = {"Description": 270, "Software": 305, "Author": 315, "Copyright": 33_432}
SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
STRIP_BYTES = 2**18
LARGEST_FILE = 2**32 - 2**24


class TiffWriter(PagesWriter):
    """Writes pages one after the other, in the byte order and with the compression of the first.

    Samples of 4 GiB and more make it a BigTIFF file.

    Parameters
    ----------
    file : new and empty, can be searched; after each page it is a whole TIFF file
    axes : along which all images will lie
    """

    def __init__(self, file: BinaryIO, axes: Axes) -> None:
        self._file = file
        self._count = math.prod(length for _, length in axes)
        self._big = False
        self._link: int | None = None  # where the offset of the next directory belongs
        self._order = "<"

    @contextmanager
    def page(self, height: int, metadata: Metadata) -> Iterator[WriteRows]:
        page: _Page | None = None

        def write_rows(samples: NDArray[Any], alpha: NDArray[Any] | None) -> None:
            nonlocal page
            array = np.atleast_3d(join_alpha(samples, alpha))
            if page is None:
                shape = (height, *array.shape[1:])
                self._begin(math.prod(shape) * array.itemsize, metadata)
                page = _Page(self._file, shape, array.dtype, metadata.tiff, self._order)
            page.add(array, has_alpha=alpha is not None)

        yield write_rows
        assert page is not None
        tags = metadata.tiff.tags or _new_tags(metadata, self._order)
        at = self._file.tell()
        self._file.write(bytes(at % 2))  # offsets are even
        at += at % 2
        directory, link = ifd.write_directory(
            [*tags, *page.storage(big=self._big)], self._order, at, big=self._big
        )
        self._file.write(directory)
        end = self._file.tell()
        assert self._link is not None
        self._file.seek(self._link)
        self._file.write(struct.pack(self._order + ("Q" if self._big else "I"), at))
        self._file.seek(end)
        self._link = at + link

    def _begin(self, size: int, metadata: Metadata) -> None:
        """Write the header, unless there is one; all pages have this many bytes."""
        if self._link is not None:
            return
        self._big = self._count * size > LARGEST_FILE
        exif = metadata.exif if not metadata.tiff.tags else b""
        self._order = ifd.byte_order(exif) if exif else metadata.tiff.byte_order
        head = ifd.header(self._order, 0, big=self._big)
        self._file.write(head)
        self._link = len(head) - (8 if self._big else 4)


class _Page:
    """Writes the rows of a page in strips, each channel on its own if it is planar.

    Parameters
    ----------
    shape : (height, width, channels)
    order : of the bytes
    """

    def __init__(
        self,
        file: BinaryIO,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        layout: TiffLayout,
        order: str,
    ) -> None:
        self._file, self._shape, self._dtype = file, shape, dtype
        self._layout, self._order = layout, order
        self._planar = layout.planar and shape[2] > 1
        line = shape[1] * (1 if self._planar else shape[2]) * dtype.itemsize
        self._rows = max(1, STRIP_BYTES // line)
        self._waiting: list[NDArray[Any]] = []  # rows that do not fill a strip
        self._done = 0
        self._strips: list[list[tuple[int, int]]] = [
            [] for _ in range(shape[2] if self._planar else 1)
        ]
        self._has_alpha = False

    def add(self, array: NDArray[Any], *, has_alpha: bool) -> None:
        """Append rows (rows, width, channels)."""
        self._has_alpha = has_alpha
        rows = np.concatenate([*self._waiting, array]) if self._waiting else array
        last = self._done + len(rows) >= self._shape[0]
        stop = len(rows) if last else len(rows) // self._rows * self._rows
        planes = np.moveaxis(rows, 2, 0)[..., None] if self._planar else [rows]
        for plane, strips in zip(planes, self._strips, strict=True):
            for top in range(0, stop, self._rows):
                part = plane[top : min(top + self._rows, stop)]
                data = _packed(part, self._layout.compression, self._order)
                strips.append((self._file.tell(), len(data)))
                self._file.write(data)
        self._waiting = [rows[stop:].copy()] if stop < len(rows) else []
        self._done += stop

    def storage(self, *, big: bool) -> list[ifd.Tag]:
        """The tags about samples and where they lie."""
        height, width, channels = self._shape
        compression = self._layout.compression
        strips = [strip for plane in self._strips for strip in plane]
        tags = [
            (256, ifd.LONG, [width]),
            (257, ifd.LONG, [height]),
            (258, ifd.SHORT, [8 * self._dtype.itemsize] * channels),
            (259, ifd.SHORT, [compression]),
            (262, ifd.SHORT, [RGB if channels > 2 else BLACK_IS_ZERO]),
            (273, ifd.LONG8 if big else ifd.LONG, [offset for offset, _ in strips]),
            (277, ifd.SHORT, [channels]),
            (278, ifd.LONG, [self._rows]),
            (279, ifd.LONG, [length for _, length in strips]),
            (284, ifd.SHORT, [2 if self._planar else 1]),
            (317, ifd.SHORT, [2] if _is_predicted(compression, self._dtype) else []),
            (338, ifd.SHORT, [self._layout.extra_sample] if self._has_alpha else []),
            (339, ifd.SHORT, [SAMPLE_FORMATS[self._dtype.kind]] * channels),
        ]
        return [ifd.numbers(code, kind, self._order, *values) for code, kind, values in tags]


def _new_tags(metadata: Metadata, order: str) -> tuple[ifd.Tag, ...]:
    """Tags for metadata that comes from another format; EXIF is in that byte order."""
    known = ifd.read_directory(metadata.exif) if metadata.exif else ()
    tags = {tag.code: tag for tag in known if tag.code not in STORAGE}
    lines = []
    for keyword, value in metadata.text:
        code = TEXT_TAGS.get(keyword)
        if code is not None and code not in tags:
            tags[code] = ifd.text(code, value)
        elif code is None:
            lines.append(value if keyword == "Comment" else f"{keyword}: {value}")
    if lines and DESCRIPTION not in tags:
        tags[DESCRIPTION] = ifd.text(DESCRIPTION, "\n".join(lines))
    for code, data in ((PROFILE, metadata.icc_profile), (XMP, metadata.xmp)):
        if data:
            tags[code] = ifd.Tag(code, ifd.UNDEFINED, data)
    if metadata.dpi is not None:
        for code, dpi in zip((RESOLUTION, RESOLUTION + 1), metadata.dpi, strict=True):
            ratio = Fraction(dpi).limit_denominator(1000)
            tags[code] = ifd.numbers(code, ifd.RATIONAL, order, ratio.numerator, ratio.denominator)
        tags[RESOLUTION_UNIT] = ifd.numbers(RESOLUTION_UNIT, ifd.SHORT, order, 2)
    return tuple(tags.values())


def _is_predicted(compression: int, dtype: np.dtype[Any]) -> bool:
    return compression != NONE and dtype.kind in "ui"


def _packed(rows: NDArray[Any], compression: int, order: str) -> bytes:
    """A strip: differences between neighbours in a row, then compressed."""
    if _is_predicted(compression, rows.dtype):
        rows = imagecodecs.delta_encode(np.ascontiguousarray(rows), axis=-2)
    data = rows.astype(rows.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    if compression == LZW:
        return bytes(imagecodecs.lzw_encode(data))
    return zlib.compress(data) if compression == DEFLATE else data
