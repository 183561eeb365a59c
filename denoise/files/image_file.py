"""An image as it was read: pixels on one scale, and all that it takes to write its like."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.files.ifd import Tag

COLOUR_NAMES = {1: "gray", 3: "RGB"}
PEAK = 255.0


@dataclass(frozen=True)
class TiffLayout:
    """How a TIFF file stores its samples, and its tags that are not about storage.

    Attributes
    ----------
    byte_order : "<" or ">"; that of the tags' data
    compression : 1 none, 5 LZW, 8 deflate
    planar : each channel on its own
    extra_sample : meaning of the alpha channel, 0 unspecified, 1 premultiplied, 2 plain
    """

    byte_order: str = "<"
    compression: int = 1
    planar: bool = False
    extra_sample: int = 2
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True)
class Metadata:
    """What a file says beside its pixels.

    The first group is what most formats can hold, so that it survives a change of format. The
    second one is written byte by byte into a file of the same format, in place of the first.

    Attributes
    ----------
    exif : TIFF-structured block, from its byte order mark on
    dpi : pixels per inch, horizontal and vertical
    text : pairs of a PNG keyword and its text; a plain comment has the keyword "Comment"
    png_chunks : (kind, data), in their order
    jpeg_segments : (marker, data), in their order
    jpeg_tables : the quantisation tables
    """

    exif: bytes = b""
    icc_profile: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()

    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    jpeg_segments: tuple[tuple[int, bytes], ...] = ()
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    tiff: TiffLayout = field(default_factory=TiffLayout)


class Decoded(NamedTuple):
    """What a format's decoder returns: samples (height, width) or (height, width, 3)."""

    samples: NDArray[Any]
    alpha: NDArray[Any] | None
    metadata: Metadata
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NonFinite:
    """Pixels that are NaN or infinite in any channel; row and column, from 0, of the first."""

    count: int
    row: int
    column: int


@dataclass(frozen=True)
class ImageFile:
    """An image as it was read, with what it takes to write its like.

    Attributes
    ----------
    path : where it came from, or a name such as "stdin"
    pixels : (height, width) or (height, width, 3) float32; integers of any depth on the 0..255
        scale, value * 255 / largest value of their type; floats as they are, NaN included
    alpha : (height, width) of the file's sample type, or None; never denoised
    sample_type : NumPy's name of the type in the file, such as "uint16"
    format : "PNG", "JPEG", "TIFF", "WebP", "BMP" or "PNM", by content
    notes : one sentence for each conversion that the user should know of
    """

    path: Path
    pixels: NDArray[np.float32]
    alpha: NDArray[Any] | None = None
    sample_type: str = "uint8"
    format: str = "PNG"
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """1 or 3; alpha does not count."""
        return 1 if self.pixels.ndim == 2 else self.pixels.shape[2]

    @property
    def is_float(self) -> bool:
        return np.dtype(self.sample_type).kind == "f"

    @property
    def description(self) -> str:
        """Width, height, colour and what is unusual, such as "256x256 gray, uint16, alpha"."""
        height, width = self.pixels.shape[:2]
        parts = [f"{width}x{height} {COLOUR_NAMES[self.channels]}"]
        if self.sample_type != "uint8":
            parts.append(self.sample_type)
        if self.alpha is not None:
            parts.append("alpha")
        return ", ".join(parts)

    @property
    def data_range(self) -> float:
        """Peak for PSNR and SSIM: 255, or of floats the largest less the smallest value."""
        return float(np.ptp(self.pixels)) if self.is_float else PEAK

    def find_non_finite(self) -> NonFinite | None:
        """How many pixels are NaN or infinite, and where the first one is."""
        finite = np.isfinite(self.pixels).reshape(*self.pixels.shape[:2], -1)
        bad = np.asarray(~finite.all(axis=2))
        if not bad.any():
            return None
        row, column = np.unravel_index(int(bad.argmax()), bad.shape)
        return NonFinite(int(bad.sum()), int(row), int(column))


def to_pixels(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples of a file as float32: integers on the 0..255 scale, floats as they are."""
    if samples.dtype.kind == "f":
        # A float64 that is too large becomes infinite; a signalling NaN is one.
        with np.errstate(over="ignore", invalid="ignore"):
            return samples.astype(np.float32)
    scale = np.float32(PEAK / np.iinfo(samples.dtype).max)
    return samples.astype(np.float32) * scale


def quantised(pixels: ArrayLike, sample_type: str) -> NDArray[Any]:
    """Pixels as they are written: the inverse of `to_pixels`.

    Parameters
    ----------
    pixels : finite, integers on the 0..255 scale
    sample_type : integers are rounded and clipped to the range of their type
    """
    values = np.asarray(pixels)
    dtype = np.dtype(sample_type)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values * (limits.max / PEAK)), limits.min, limits.max).astype(dtype)


def to_8bit(pixels: ArrayLike) -> NDArray[np.uint8]:
    """Round to whole gray levels and clip to 0..255."""
    return quantised(pixels, "uint8")


def without_gray_colours(samples: NDArray[Any]) -> NDArray[Any]:
    """(height, width) if the three channels are the same everywhere, else as it is."""
    gray = samples[..., 0]
    same = np.array_equal(gray, samples[..., 1]) and np.array_equal(gray, samples[..., 2])
    return gray if same else samples


def split_alpha(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Samples and alpha of gray, gray and alpha, RGB or RGBA."""
    if array.ndim == 2:
        return array, None
    match array.shape[2]:
        case 1:
            return array[..., 0], None
        case 2:
            return array[..., 0], array[..., 1]
        case 4:
            return array[..., :3], array[..., 3]
    return array, None


def join_alpha(samples: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """The inverse of `split_alpha`."""
    return np.ascontiguousarray(samples if alpha is None else np.dstack([samples, alpha]))
