"""Writing TIFF: for each page strips of pixels, then a directory with the tags of the source.

It is written here since tifffile refuses EXIF directories, and Pillow deep colour.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from fractions import Fraction
from itertools import accumulate
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from denoise.files import ifd
from denoise.files.image_file import Metadata, TiffLayout
from denoise.files.pages import Axes
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


def encode(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A TIFF file of one page, in the byte order and with the compression of its source."""
    file = io.BytesIO()
    TiffWriter(file, ()).write(samples, alpha, metadata)
    return file.getvalue()


class TiffWriter:
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

    def write(self, samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> None:
        """Append a page: samples (height, width) or (height, width, 3), alpha (height, width)."""
        layout = metadata.tiff
        array = join_alpha(samples, alpha)
        if self._link is None:
            self._big = self._count * array.nbytes > LARGEST_FILE
            exif = metadata.exif if not layout.tags else b""
            self._order = ifd.byte_order(exif) if exif else layout.byte_order
            head = ifd.header(self._order, 0, big=self._big)
            self._file.write(head)
            self._link = len(head) - (8 if self._big else 4)
        tags = layout.tags or _new_tags(metadata, self._order)
        at = self._file.tell()
        body, storage = _stored(array, alpha is not None, layout, self._order, at, big=self._big)
        directory, link = ifd.write_directory(
            [*tags, *storage], self._order, at + len(body), big=self._big
        )
        self._file.write(body + directory)
        end = self._file.tell()
        self._file.seek(self._link)
        self._file.write(struct.pack(self._order + ("Q" if self._big else "I"), at + len(body)))
        self._file.seek(end)
        self._link = at + len(body) + link


def _stored(
    array: NDArray[Any], has_alpha: bool, layout: TiffLayout, order: str, at: int, *, big: bool
) -> tuple[bytes, list[ifd.Tag]]:
    """Samples in strips, for a place `at` bytes after the start, and the tags about them."""
    height, width, channels = np.atleast_3d(array).shape
    planar = layout.planar and channels > 1
    rows = max(1, STRIP_BYTES // (width * (1 if planar else channels) * array.itemsize))
    strips = _strips(array, rows, layout.compression, order, planar=planar)
    lengths = [len(strip) for strip in strips]
    body = b"".join(strips)
    body += bytes(len(body) % 2)  # offsets are even
    offset = ifd.LONG8 if big else ifd.LONG
    storage = [
        (256, ifd.LONG, [width]),
        (257, ifd.LONG, [height]),
        (258, ifd.SHORT, [8 * array.itemsize] * channels),
        (259, ifd.SHORT, [layout.compression]),
        (262, ifd.SHORT, [RGB if channels > 2 else BLACK_IS_ZERO]),
        (273, offset, [at + end for end in accumulate(lengths[:-1], initial=0)]),
        (277, ifd.SHORT, [channels]),
        (278, ifd.LONG, [rows]),
        (279, ifd.LONG, lengths),
        (284, ifd.SHORT, [2 if planar else 1]),
        (317, ifd.SHORT, [2] if _is_predicted(layout.compression, array.dtype) else []),
        (338, ifd.SHORT, [layout.extra_sample] if has_alpha else []),
        (339, ifd.SHORT, [SAMPLE_FORMATS[array.dtype.kind]] * channels),
    ]
    return body, [ifd.numbers(code, kind, order, *values) for code, kind, values in storage]


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


def _strips(
    array: NDArray[Any], rows: int, compression: int, order: str, *, planar: bool
) -> list[bytes]:
    """Pixels as they are stored, in strips of this many rows, each channel on its own if planar."""
    planes = np.moveaxis(array, 2, 0)[..., None] if planar else [np.atleast_3d(array)]
    return [
        _packed(plane[top : top + rows], compression, order)
        for plane in planes
        for top in range(0, len(plane), rows)
    ]


def _packed(rows: NDArray[Any], compression: int, order: str) -> bytes:
    """A strip: differences between neighbours in a row, then compressed."""
    if _is_predicted(compression, rows.dtype):
        rows = imagecodecs.delta_encode(np.ascontiguousarray(rows), axis=-2)
    data = rows.astype(rows.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    if compression == LZW:
        return bytes(imagecodecs.lzw_encode(data))
    return zlib.compress(data) if compression == DEFLATE else data
