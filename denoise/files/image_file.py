"""An image as it was read: pixels on one scale, and all that it takes to write its like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoise.files.fits_header import FitsLayout
from denoise.files.ifd import Tag
from denoise.files.samples import PEAK

COLOUR_NAMES = {1: "gray", 3: "RGB"}
INCHES_PER_METRE = 1 / 0.0254


@dataclass(frozen=True)
class TiffLayout:
    """How a TIFF file stores its samples, and its tags that are not about storage.

    Attributes
    ----------
    byte_order : "<" or ">"; that of the tags' data
    compression : 1 none, 5 LZW, 8 deflate
    planar : each channel on its own
    extra_sample : meaning of the alpha channel, 0 unspecified, 1 premultiplied, 2 plain
    nodata : the value of samples that hold no data, by GDAL's tag
    """

    byte_order: str = "<"
    compression: int = 1
    planar: bool = False
    extra_sample: int = 2
    nodata: float | None = None
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True)
class NpyLayout:
    """How a .npy file stores its array.

    Attributes
    ----------
    byte_order : "<", ">" or, of single bytes, "|"
    axes : a letter for each, as of `files.arrays`; empty if the image stands alone
    fortran : the first axis is the fastest one
    """

    byte_order: str = "<"
    axes: str = ""
    fortran: bool = False


@dataclass(frozen=True)
class ZarrLayout:
    """How an OME-Zarr image is stored: like the one in a folder.

    Attributes
    ----------
    folder : of the image; None if it is of another format
    axes : a letter for each, as of `files.arrays`; empty if the image stands alone
    bare : without attributes but those that make it an image
    """

    folder: Path | None = None
    axes: str = ""
    bare: bool = False


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
    npy: NpyLayout = field(default_factory=NpyLayout)
    fits: FitsLayout = field(default_factory=FitsLayout)
    zarr: ZarrLayout = field(default_factory=ZarrLayout)

    @property
    def nodata(self) -> float | None:
        """The value of samples that hold no data."""
        return self.fits.blank if self.tiff.nodata is None else self.tiff.nodata

    def kept(self, *, strip: bool) -> Metadata:
        """All of it; with `strip` nothing but how the pixels are stored."""
        if not strip:
            return self
        return Metadata(
            jpeg_tables=self.jpeg_tables,
            tiff=replace(self.tiff, tags=()),
            npy=self.npy,
            fits=self.fits.stripped,
            zarr=replace(self.zarr, bare=True),
        )


class Decoded(NamedTuple):
    """What a format's decoder returns.

    Attributes
    ----------
    samples : (height, width) or (height, width, 3)
    no_data : (height, width) bool, pixels that hold no data
    frames : pages or frames of the file
    axes : names and lengths of the axes along which they lie, where the file says so
    """

    samples: NDArray[Any]
    alpha: NDArray[Any] | None
    metadata: Metadata
    notes: tuple[str, ...] = ()
    no_data: NDArray[np.bool_] | None = None
    frames: int = 1
    axes: tuple[tuple[str, int], ...] = ()


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
    pixels : (height, width) or (height, width, 3) as `to_pixels` makes them: integers of any depth
        on the 0..255 scale; floats as they are, NaN included
    alpha : (height, width) of the file's sample type, or None; never denoised
    sample_type : NumPy's name of the type in the file, such as "uint16"
    format : "PNG", "JPEG", "TIFF", "WebP", "BMP", "PNM", "NPY", "FITS" or "OME-Zarr", by
        content
    notes : one sentence for each conversion that the user should know of
    void : (height, width) bool, pixels that are no picture: transparent, or without data; None if
        there are none
    frames : pages or frames of the file, of which this is one
    axes : names and lengths of the axes along which they lie, slowest first, such as ("T", 5) and
        ("Z", 3); empty where the file does not say so
    """

    path: Path
    pixels: NDArray[np.floating]
    alpha: NDArray[Any] | None = None
    sample_type: str = "uint8"
    format: str = "PNG"
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    void: NDArray[np.bool_] | None = None
    frames: int = 1
    axes: tuple[tuple[str, int], ...] = ()

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
    def picture(self) -> NDArray[np.bool_]:
        """Where it is a picture, the opposite of `void`: (height, width)."""
        return np.ones(self.pixels.shape[:2], bool) if self.void is None else ~self.void

    @property
    def has_missing(self) -> bool:
        """Whether a value of the picture is NaN."""
        return bool(np.isnan(self.pixels[self.picture]).any())

    @property
    def data_range(self) -> float:
        """Peak for PSNR and SSIM: 255, or of floats the largest less the smallest value."""
        if not self.is_float:
            return PEAK
        values = self.pixels[self.picture]
        return float(np.ptp(values)) if values.size else 0.0

    def cut(self, area: tuple[slice, slice]) -> ImageFile:
        """Some rows and columns of it."""
        alpha, void = (None if one is None else one[area] for one in (self.alpha, self.void))
        return replace(self, pixels=self.pixels[area], alpha=alpha, void=void)

    @staticmethod
    def joined(parts: Sequence[ImageFile], axis: int = 0) -> ImageFile:
        """Images of one type, one below the other, or beside it if `axis` is 1."""
        first, void = parts[0], None
        if any(part.void is not None for part in parts):
            void = np.concatenate([~part.picture for part in parts], axis)
        alphas = [part.alpha for part in parts if part.alpha is not None]
        return replace(
            first,
            pixels=np.concatenate([part.pixels for part in parts], axis),
            alpha=np.concatenate(alphas, axis) if len(alphas) == len(parts) else None,
            void=void,
        )

    def find_non_finite(self) -> NonFinite | None:
        """How many pixels of the picture are NaN or infinite, and where the first one is."""
        finite = np.isfinite(self.pixels).reshape(*self.pixels.shape[:2], -1)
        bad = np.asarray(~finite.all(axis=2))
        if self.void is not None:
            bad &= ~self.void
        if not bad.any():
            return None
        row, column = np.unravel_index(int(bad.argmax()), bad.shape)
        return NonFinite(int(bad.sum()), int(row), int(column))
