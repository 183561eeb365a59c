"""WebP and BMP, which hold 8 bits; Pillow reads and writes them, but for BMP with alpha."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.WebPImagePlugin import WebPImageFile

from denoise.errors import DamagedImageError, ImageError
from denoise.files.image_file import INCHES_PER_METRE, Decoded, Metadata
from denoise.files.limits import check_frame, check_size
from denoise.files.samples import (
    join_alpha,
    split_alpha,
    with_equal_channels,
    without_equal_channels,
)

BMP_HEADER = 14  # bytes before the header that Pillow judges, which starts with its own size
_EXIF = b"Exif\0\0"  # some writers put it before the block


def is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def is_bmp(data: bytes) -> bool:
    return data.startswith(b"BM")


def decode_webp(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """RGB samples, alpha and metadata of one frame."""
    with WebPImageFile(io.BytesIO(data)) as image:
        check_size(*image.size, max_pixels)
        image.seek(check_frame(frame, image.n_frames))
        samples, alpha = split_alpha(np.array(image))
        frames = image.n_frames
        info = image.info
        exif = info.get("exif", b"").removeprefix(_EXIF)
        metadata = Metadata(exif, info.get("icc_profile", b""), info.get("xmp", b""))
    return Decoded(samples, alpha, metadata, frames=frames)


def decode_bmp(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """Gray or RGB samples, alpha and the resolution; palettes and 1 bit are expanded."""
    check_frame(frame, 1)
    with _open_bmp(data) as image:
        check_size(*image.size, max_pixels)
        dpi = image.info.get("dpi")
        metadata = Metadata(dpi=dpi if dpi and min(dpi) > 0 else None)
        match image.mode:
            case "1":
                notes = ("1-bit pixels are written as 8-bit gray",)
                return Decoded(np.array(image.convert("L")), None, metadata, notes)
            case "P":
                samples = without_equal_channels(np.array(image.convert("RGB")))
                return Decoded(samples, None, metadata, ("the palette is written as full colour",))
            case "L" | "RGB" | "RGBA":
                return Decoded(*split_alpha(np.array(image)), metadata)
    raise ImageError(f"pixels of the kind {image.mode} cannot be denoised; convert them to RGB")


def encode_webp(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A lossless WebP file, RGB also for gray samples; colours under zero alpha stay."""
    if samples.ndim == 2:
        samples = with_equal_channels(samples)
    buffer = io.BytesIO()
    Image.fromarray(join_alpha(samples, alpha)).save(
        buffer,
        "WEBP",
        lossless=True,
        exact=True,
        exif=metadata.exif,
        icc_profile=metadata.icc_profile,
        xmp=metadata.xmp,
    )
    return buffer.getvalue()


def encode_bmp(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A BMP file of 8, 24 or, with alpha, 32 bits."""
    dpi = metadata.dpi or (0, 0)  # 0 is unknown
    if alpha is not None:
        return _bmp_with_alpha(samples, alpha, dpi)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "BMP", dpi=dpi)
    return buffer.getvalue()


def _open_bmp(data: bytes) -> BmpImageFile:
    if len(data) < BMP_HEADER + int.from_bytes(data[14:18], "little"):
        raise DamagedImageError("truncated image file: its header breaks off")
    try:
        return BmpImageFile(io.BytesIO(data))
    except OSError as error:  # Pillow's word for header, depth, masks or compression
        raise ImageError(f"this kind of BMP is not read: {error}") from None


def _bmp_with_alpha(samples: NDArray[Any], alpha: NDArray[Any], dpi: tuple[float, float]) -> bytes:
    """A file with the masks of a BITMAPV4HEADER, which Pillow reads but does not write."""
    height, width = alpha.shape
    if samples.ndim == 2:
        samples = with_equal_channels(samples)
    body = join_alpha(samples[..., ::-1], alpha)[::-1].tobytes()  # BGRA from the last row on
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    density = [round(value * INCHES_PER_METRE) for value in dpi]
    second = struct.pack("<IiiHHII", 108, width, height, 1, 32, 3, len(body))
    second += struct.pack("<IIIIIIII4s48x", *density, 0, 0, *masks, b"BGRs")  # sRGB
    start = BMP_HEADER + len(second)
    return struct.pack("<2sIII", b"BM", start + len(body), 0, start) + second + body
