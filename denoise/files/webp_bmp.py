"""WebP and BMP, which hold 8 bits and which Pillow reads and writes without loss."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.WebPImagePlugin import WebPImageFile

from denoise.errors import ImageError
from denoise.files.image_file import Decoded, Metadata
from denoise.files.limits import check_frame, check_size
from denoise.files.samples import (
    join_alpha,
    split_alpha,
    with_equal_channels,
    without_equal_channels,
)

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
        info = image.info
        exif = info.get("exif", b"").removeprefix(_EXIF)
        metadata = Metadata(exif, info.get("icc_profile", b""), info.get("xmp", b""))
    return Decoded(samples, alpha, metadata)


def decode_bmp(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """Gray or RGB samples and the resolution; palettes and 1 bit are expanded."""
    check_frame(frame, 1)
    with BmpImageFile(io.BytesIO(data)) as image:
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
    """A BMP file of 8 or 24 bits."""
    assert alpha is None
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "BMP", dpi=metadata.dpi or (0, 0))  # 0 is unknown
    return buffer.getvalue()
