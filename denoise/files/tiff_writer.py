"""Writing TIFF: strips of pixels, then one directory with the tags of the source.

It is written here since tifffile refuses EXIF directories, and Pillow deep colour.
"""

from __future__ import annotations

import zlib
from fractions import Fraction
from itertools import accumulate
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from denoise.errors import ImageError
from denoise.files import ifd
from denoise.files.image_file import Metadata
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
HEADER_BYTES, STRIP_BYTES = 8, 2**18
LARGEST_FILE = 2**32 - 2**24


def encode(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A TIFF file of one page, in the byte order and with the compression of its source."""
    layout = metadata.tiff
    order, tags = layout.byte_order, layout.tags
    if not tags:
        order = ifd.byte_order(metadata.exif) if metadata.exif else order
        tags = _new_tags(metadata, order)
    array = join_alpha(samples, alpha)
    if array.nbytes > LARGEST_FILE:
        raise ImageError("is larger than the 4 GiB that a TIFF file holds")
    height, width, channels = np.atleast_3d(array).shape
    planar = layout.planar and channels > 1
    rows = max(1, STRIP_BYTES // (width * (1 if planar else channels) * array.itemsize))
    strips = _strips(array, rows, layout.compression, order, planar=planar)
    lengths = [len(strip) for strip in strips]
    body = b"".join(strips)
    body += bytes(len(body) % 2)  # offsets are even
    storage = [
        (256, ifd.LONG, [width]),
        (257, ifd.LONG, [height]),
        (258, ifd.SHORT, [8 * array.itemsize] * channels),
        (259, ifd.SHORT, [layout.compression]),
        (262, ifd.SHORT, [RGB if samples.ndim == 3 else BLACK_IS_ZERO]),
        (273, ifd.LONG, [HEADER_BYTES + end for end in accumulate(lengths[:-1], initial=0)]),
        (277, ifd.SHORT, [channels]),
        (278, ifd.LONG, [rows]),
        (279, ifd.LONG, lengths),
        (284, ifd.SHORT, [2 if planar else 1]),
        (317, ifd.SHORT, [2] if _is_predicted(layout.compression, array.dtype) else []),
        (338, ifd.SHORT, [] if alpha is None else [layout.extra_sample]),
        (339, ifd.SHORT, [SAMPLE_FORMATS[array.dtype.kind]] * channels),
    ]
    written = [ifd.numbers(code, kind, order, *values) for code, kind, values in storage]
    at = HEADER_BYTES + len(body)
    return ifd.header(order, at) + body + ifd.write_directory([*tags, *written], order, at)


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
