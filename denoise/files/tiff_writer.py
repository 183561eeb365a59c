"""Writing TIFF: strips of pixels, then one directory with the tags of the source.

By hand, since tifffile refuses to write EXIF directories and Pillow deep colour.
"""

from __future__ import annotations

import zlib
from fractions import Fraction
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
STRIP_BYTES = 2**18
LARGEST_FILE = 2**32 - 2**24


def encode(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A TIFF file of one page, in the byte order and with the compression of its source."""
    layout = metadata.tiff
    order, tags = layout.byte_order, layout.tags
    if not tags:
        order = ifd.byte_order(metadata.exif) if metadata.exif else order
        tags = _new_tags(metadata, order)
    array = join_alpha(samples, alpha)
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    if array.nbytes > LARGEST_FILE:
        raise ImageError("is larger than the 4 GiB that a TIFF file holds")
    cube = array.reshape(height, width, channels)
    planes = [cube[..., [n]] for n in range(channels)] if layout.planar else [cube]
    rows = max(1, STRIP_BYTES // (width * planes[0].shape[2] * array.itemsize))
    strips = [
        _packed(plane[top : top + rows], layout.compression, order)
        for plane in planes
        for top in range(0, height, rows)
    ]
    lengths = [len(strip) for strip in strips]
    starts = [8 + int(end) for end in np.cumsum([0, *lengths[:-1]])]
    body = b"".join(strips)
    body += bytes(len(body) % 2)

    def short(code: int, *values: int) -> ifd.Tag:
        return ifd.numbers(code, ifd.SHORT, order, *values)

    def long(code: int, *values: int) -> ifd.Tag:
        return ifd.numbers(code, ifd.LONG, order, *values)

    sample_format = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    storage = [
        long(256, width),
        long(257, height),
        short(258, *[8 * array.itemsize] * channels),
        short(259, layout.compression),
        short(262, RGB if samples.ndim == 3 else BLACK_IS_ZERO),
        long(273, *starts),
        short(277, channels),
        long(278, rows),
        long(279, *lengths),
        short(284, 2 if layout.planar and channels > 1 else 1),
        short(339, *[sample_format] * channels),
    ]
    if alpha is not None:
        storage.append(short(338, layout.extra_sample))
    if _is_predicted(layout.compression, array.dtype):
        storage.append(short(317, 2))
    at = 8 + len(body)
    return ifd.header(order, at) + body + ifd.write_directory([*tags, *storage], order, at)


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
    """A strip as it is stored: differences between neighbours in a row, then compressed."""
    if _is_predicted(compression, rows.dtype):
        rows = imagecodecs.delta_encode(np.ascontiguousarray(rows), axis=-2)
    data = rows.astype(rows.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    if compression == LZW:
        return bytes(imagecodecs.lzw_encode(data))
    return zlib.compress(data) if compression == DEFLATE else data
