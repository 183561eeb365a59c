"""Reading TIFF: pixels of every depth through tifffile, tags as raw bytes.

Pillow halves deep colour and turns pixels by the orientation tag, so it has no part in this.
"""

from __future__ import annotations

import logging
import math
import struct
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from denoise.errors import DamagedImageError, ImageError
from denoise.files import ifd
from denoise.files.image_file import Decoded, Metadata, TiffLayout
from denoise.files.limits import check_size, refused_type
from denoise.files.samples import SAMPLE_TYPES, split_alpha, without_equal_channels
from denoise.files.tiff_writer import (
    BLACK_IS_ZERO,
    DEFLATE,
    DESCRIPTION,
    LZW,
    NONE,
    PROFILE,
    RESOLUTION,
    RESOLUTION_UNIT,
    RGB,
    STORAGE,
    XMP,
)

# tifffile reports what it skips to this logger, which otherwise prints to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

PACKBITS = 32_773
BITS, SAMPLE_FORMAT = 258, 339
# Codecs that unpack no more than they are asked for.
COMPRESSIONS = {NONE, 2, 3, 4, LZW, DEFLATE, PACKBITS, 32_946, 34_925, 50_000}
# None, horizontal, floating point, and the latter by every second and every fourth sample.
PREDICTORS = {1, 2, 3, 34_894, 34_895}
WHITE_IS_ZERO, PALETTE = 0, 3
COLOURS = {5: "CMYK", 6: "YCbCr", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32_803: "camera raw"}
CAMERA_RAW, NODATA = 50_706, 42_113
# What follows the byte order in Canon's raw files: a directory at 16, and a signature before it.
CANON_RAW = (b"\x10\0\0\0CR\2\0", b"\0\0\0\x10CR\2\0")
# Tags that describe a whole stack, as ImageJ writes them; they are not true of a single image.
STACK = {DESCRIPTION, 50_838, 50_839}


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def decode_page(
    array: NDArray[Any], page: TiffPage, tags: tuple[ifd.Tag, ...], order: str, *, whole_file: bool
) -> Decoded:
    """Decode a page.

    Parameters
    ----------
    array : the samples as they are stored
    order : of the bytes of the tags' data
    whole_file : the description of a stack, if there is one, stays true
    """
    array = _channels_last(array, page)
    nodata = _nodata(tags)
    no_data = None if nodata is None else _equal(array, nodata, page)
    samples, alpha, notes = _expand(array, page)
    if notes and nodata is not None:  # values are no longer what the tag says
        tags = tuple(tag for tag in tags if tag.code != NODATA)
        notes = (*notes, "the tag with the value of missing data is left out")
    metadata = page_metadata(tags, order, page, in_stack=not whole_file)
    return Decoded(samples, alpha, metadata, notes, no_data)


def check_page(page: TiffPage, max_pixels: int) -> None:
    """Refuse what cannot be denoised or would need too much memory, from the header alone."""
    check_size(page.imagewidth, page.imagelength, max_pixels)
    if page.imagedepth > 1:
        raise ImageError("is a volume; save the slice you want on its own")
    check_size(max(page.tilewidth, 1), max(page.tilelength, 1), max(max_pixels, 2**20))
    photometric, compression = int(page.photometric), int(page.compression)
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
        name = COLOURS.get(photometric, f"of TIFF's kind {photometric}")
        raise ImageError(f"colours are {name}; convert the image to RGB or gray first")
    if compression not in COMPRESSIONS:
        name = getattr(page.compression, "name", str(compression))
        raise ImageError(f"compression {name} of TIFF is not read; use LZW, deflate or none")
    if int(page.planarconfig) not in (1, 2):
        raise DamagedImageError(f"damaged image file: no order of channels {page.planarconfig}")
    if int(page.predictor) not in PREDICTORS:
        raise ImageError(f"predictor {int(page.predictor)} of TIFF is not read; use another one")
    colours = 3 if photometric == RGB else 1
    if page.samplesperpixel not in (colours, colours + 1):
        raise ImageError(
            f"has {page.samplesperpixel} channels; gray or RGB, with or without alpha, can be read"
        )
    dtype, bits = None if page.dtype is None else page.dtype.name, page.bitspersample
    is_short_float = page.dtype is not None and page.dtype.kind == "f" and bits % 16
    if (dtype not in SAMPLE_TYPES and dtype != "bool") or is_short_float:
        kind = getattr(page.sampleformat, "name", page.sampleformat)
        raise refused_type(bits, str(dtype or kind))
    if photometric == PALETTE and (
        dtype not in ("bool", "uint8", "uint16") or page.colormap is None
    ):
        raise DamagedImageError("damaged image file: no palette for its pixels")


def _channels_last(array: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    """Stored samples in the byte order of this machine, with channels on the last axis."""
    if int(page.planarconfig) == 2 and page.samplesperpixel > 1:
        array = np.moveaxis(array, 0, -1)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.astype(np.uint8) if array.dtype == bool else array


def _nodata(tags: tuple[ifd.Tag, ...]) -> float | None:
    """The value of samples without data, which GDAL writes as text."""
    for tag in tags:
        if tag.code == NODATA and tag.type == ifd.ASCII:
            with suppress(ValueError):
                return float(tag.data.rstrip(b"\0 ").decode("ascii", "replace"))
    return None


def _equal(array: NDArray[Any], nodata: float, page: TiffPage) -> NDArray[np.bool_]:
    """Pixels (height, width) without data.

    That is so for a float pixel if one of its channels has the value, for an integer pixel if all
    have it: a value such as 0 often occurs in one channel of a colour.
    """
    channels = array.reshape(*array.shape[:2], -1)[..., : 3 if page.samplesperpixel > 2 else 1]
    if array.dtype.kind != "f":
        return np.asarray((channels == nodata).all(2))
    if math.isnan(nodata):
        return np.asarray(np.isnan(channels).any(2))
    with np.errstate(over="ignore"):  # a value in decimals beyond the largest one of the type
        return np.asarray((channels == channels.dtype.type(nodata)).any(2))


def _expand(
    array: NDArray[Any], page: TiffPage
) -> tuple[NDArray[Any], NDArray[Any] | None, tuple[str, ...]]:
    """Samples and alpha in full colour and of full range, and notes on what was changed."""
    notes: list[str] = []
    photometric, bits = int(page.photometric), int(page.bitspersample)
    if photometric == PALETTE:
        if array.ndim == 3:
            raise ImageError("is a palette image with alpha; convert it to RGBA first")
        colours = np.asarray(page.colormap)
        if array.max() >= colours.shape[1]:
            raise DamagedImageError("damaged image file: a pixel is beyond the palette")
        if colours.max() > 255:
            colours = colours >> 8  # some write n * 256 for n, others n * 257
        array = without_equal_channels(colours.T.astype(np.uint8)[array])
        return array, None, ("the palette is written as full colour",)
    whole = array.dtype.kind == "u"
    if whole and bits < 8 * array.itemsize:
        full = np.iinfo(array.dtype).max
        array = np.rint(array * (full / (2**bits - 1))).astype(array.dtype)
        notes.append(f"{bits}-bit pixels are written as {8 * array.itemsize}-bit ones")
    samples, alpha = split_alpha(array)
    if photometric == WHITE_IS_ZERO and whole:
        samples = np.iinfo(samples.dtype).max - samples
        notes.append("gray levels that count from white are written counting from black")
    return samples, alpha, tuple(notes)


def page_metadata(
    tags: tuple[ifd.Tag, ...], order: str, page: TiffPage, *, in_stack: bool
) -> Metadata:
    """What the tags of a page say beside its pixels; the description of a stack is left out."""
    kept = tuple(t for t in tags if t.code not in STORAGE and not (in_stack and t.code in STACK))
    raw = {tag.code: tag.data for tag in kept}
    unit = raw.get(RESOLUTION_UNIT, struct.pack(order + "H", 2))
    scale = {2: 1.0, 3: 2.54}.get(struct.unpack_from(order + "H", unit)[0]) if len(unit) > 1 else 0
    across, down = (ifd.first_rational(kept, RESOLUTION + n, order) for n in (0, 1))
    has_alpha = page.samplesperpixel in (2, 4)
    compression = int(page.compression)
    return Metadata(
        exif=ifd.exif_block((t for t in kept if t.code not in (XMP, PROFILE)), order),
        icc_profile=raw.get(PROFILE, b""),
        xmp=raw.get(XMP, b""),
        dpi=(across * scale, down * scale) if scale and across and down else None,
        tiff=TiffLayout(
            byte_order=order,
            compression=compression if compression in (NONE, LZW) else DEFLATE,
            planar=int(page.planarconfig) == 2,
            extra_sample=int(page.extrasamples[0]) if has_alpha and page.extrasamples else 0,
            nodata=_nodata(kept),
            tags=kept,
        ),
    )
