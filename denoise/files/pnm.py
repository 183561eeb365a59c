"""PBM, PGM and PPM: gray and RGB of up to 16 bits, as numbers in a row after a short header.

Pillow reduces deep colour to 8 bits, so it has no part in this.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoise.errors import DamagedImageError, ImageError
from denoise.files.image_file import Decoded, Metadata
from denoise.files.limits import check_frame, check_size

_GAP = rb"(?:\s|#[^\n]*\n)+"
_NUMBER = rb"(\d{1,9})"
_BITMAP_HEADER = re.compile(rb"P[14]" + _GAP + _NUMBER + _GAP + _NUMBER + rb"\s")
_HEADER = re.compile(rb"P[2356]" + _GAP + _GAP.join([_NUMBER] * 3) + rb"\s")
_ONE_BIT = "1-bit pixels are written as 8-bit gray"
_COMMENT = re.compile(rb"#[^\n]*")


def is_pnm(data: bytes) -> bool:
    return re.match(rb"P[1-6][\s#]", data) is not None


def decode(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """Samples of a plain or binary file, scaled to the full range of uint8 or uint16."""
    check_frame(frame, 1)
    kind = int(data[1:2])
    header = (_BITMAP_HEADER if kind in (1, 4) else _HEADER).match(data)
    if header is None:
        raise DamagedImageError("damaged image file: its header is not that of a PNM file")
    width, height, *rest = map(int, header.groups())
    largest = rest[0] if rest else 1
    check_size(width, height, max_pixels)
    if not 1 <= largest <= 65_535:
        raise DamagedImageError(f"damaged image file: its largest value is {largest}, not 1..65535")
    shape = (height, width, 3) if kind in (3, 6) else (height, width)
    body = data[header.end() :]
    values = _plain(body, kind, shape) if kind < 4 else _binary(body, kind, shape, largest)
    if values.max() > largest:
        raise DamagedImageError(f"damaged image file: a value is above the largest one, {largest}")
    if kind in (1, 4):
        values = 1 - values  # 1 is black
    full = 255 if largest < 256 else 65_535
    notes: tuple[str, ...] = ()
    if largest < full:
        notes = (_ONE_BIT if kind in (1, 4) else f"the range 0..{largest} is written as 0..{full}",)
        values = np.rint(values * (full / largest))
    samples = values.astype(np.uint8 if full == 255 else np.uint16)
    return Decoded(samples, None, Metadata(), notes)


def encode(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A binary PGM or PPM file of uint8 or uint16 samples."""
    assert alpha is None
    height, width = samples.shape[:2]
    kind = "P5" if samples.ndim == 2 else "P6"
    largest = np.iinfo(samples.dtype).max
    body = samples.astype(samples.dtype.newbyteorder(">")).tobytes()
    return f"{kind}\n{width} {height}\n{largest}\n".encode() + body


def _plain(body: bytes, kind: int, shape: tuple[int, ...]) -> NDArray[Any]:
    body = _COMMENT.sub(b" ", body)
    count = int(np.prod(shape))
    words = re.findall(rb"[01]", body) if kind == 1 else body.split(None, count)
    if len(words) < count:
        raise DamagedImageError(f"truncated image file: {len(words)} of {count} values")
    try:
        return np.array(words[:count]).astype(np.uint32).reshape(shape)
    except (ValueError, OverflowError):
        raise DamagedImageError("damaged image file: a value is not a number") from None


def _binary(body: bytes, kind: int, shape: tuple[int, ...], largest: int) -> NDArray[Any]:
    height, width = shape[:2]
    row = -(-width // 8) if kind == 4 else width
    dtype = np.dtype("u1" if largest < 256 else ">u2")
    size = int(np.prod((height, row, *shape[2:]))) * dtype.itemsize
    if len(body) < size:
        raise DamagedImageError(f"truncated image file: {len(body)} of {size} bytes")
    if is_pnm(body[size : size + 3]):
        raise ImageError("holds several images; save the one you want on its own")
    if kind == 4:
        rows = np.frombuffer(body, np.uint8, size).reshape(height, row)
        return np.unpackbits(rows, axis=1, count=width)
    return np.frombuffer(body, dtype, size // dtype.itemsize).reshape(shape)
