"""TIFF: pixels of every depth through tifffile, written by hand with the tags of the source.

Pillow halves deep colour and turns pixels by the orientation tag; tifffile refuses to write EXIF
directories. So the writer is our own: strips, then one directory.
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from fractions import Fraction
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from denoise import ifd
from denoise.errors import ImageError
from denoise.image_file import (
    Decoded,
    Metadata,
    TiffLayout,
    join_alpha,
    split_alpha,
    without_gray_colours,
)
from denoise.limits import check_frame, check_size

# tifffile reports what it skips to this logger, which otherwise prints to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32_773
# Codecs that unpack no more than they are asked for.
COMPRESSIONS = {NONE, 2, 3, 4, LZW, DEFLATE, PACKBITS, 32_946, 34_925, 50_000}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
COLOURS = {5: "CMYK", 6: "YCbCr", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32_803: "camera raw"}
SAMPLE_TYPES = {"uint8", "uint16", "int8", "int16", "float16", "float32", "float64"}
STRIP_BYTES = 2**18
LARGEST_FILE = 2**32 - 2**24
DESCRIPTION, RESOLUTION, RESOLUTION_UNIT, XMP, PROFILE, CAMERA_RAW = (
    270,
    282,
    296,
    700,
    34675,
    50706,
)
# Tags about the storage of pixels, previews and tiles, which the writer sets itself or which
# are not true any more.
STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284),
    *(288, 289, 290, 291, 292, 293, 317, 320, 322, 323, 324, 325, 330, 334, 336, 338, 339, 340),
    *(341, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532, 32_997, 32_998),
}
# ImageJ's description of a stack, of which only one image is left.
STACK = {DESCRIPTION, 50_838, 50_839}
TEXT_TAGS = {"Description": 270, "Software": 305, "Author": 315, "Copyright": 33_432}


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def decode(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """Samples, alpha and tags of one page.

    Raises
    ------
    ImageError
        If the page is larger than `max_pixels` or of a kind that cannot be denoised.
    """
    if data[8:10] == b"CR":
        raise ImageError("is a camera's raw file; develop it to a TIFF or PNG first")
    order = ifd.byte_order(data)
    pages = {}  # number of the directory: its tags
    for number, offset in enumerate(ifd.directory_offsets(data)):
        tags = ifd.read_directory(data, offset)
        if not _is_preview(tags, order):
            pages[number] = tags
    with TiffFile(io.BytesIO(data)) as file:
        count = max(len(pages), _stack_size(file))
        if not pages:
            raise ImageError("holds only previews, as a camera's raw file does; convert it first")
        chosen = check_frame(frame, count)
        if chosen >= len(pages):
            raise ImageError("is a stack in one piece, of which only image 1 can be read")
        number, tags = list(pages.items())[chosen]
        if any(tag.code == CAMERA_RAW for tag in tags):
            raise ImageError("is a camera's raw file; develop it to a TIFF or PNG first")
        page = file.pages[number]
        assert isinstance(page, TiffPage)
        _check(page, max_pixels)
        array = page.asarray()
        in_stack = count > 1 and (file.is_imagej or file.is_shaped or file.is_ome)
    samples, alpha, notes = _expand(np.asarray(array), page)
    return Decoded(samples, alpha, _metadata(tags, order, page, in_stack=in_stack), notes)


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


def _is_preview(tags: tuple[ifd.Tag, ...], order: str) -> bool:
    """A reduced copy (1) of another image, or a mask (4)."""
    kinds = [t.data for t in tags if t.code == 254 and t.type == ifd.LONG]
    return bool(kinds) and bool(struct.unpack_from(order + "I", kinds[0])[0] & 5)


def _stack_size(file: TiffFile) -> int:
    """Images in a stack whose pages after the first one have no directory of their own."""
    if not (file.is_imagej or file.is_shaped):
        return 1
    first, series = file.pages.first, file.series
    return series[0].size // max(first.size, 1) if series else 1


def _check(page: TiffPage, max_pixels: int) -> None:
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
    colours = 3 if photometric == RGB else 1
    if page.samplesperpixel not in (colours, colours + 1):
        raise ImageError(
            f"has {page.samplesperpixel} channels; gray or RGB, with or without alpha, can be read"
        )
    dtype = None if page.dtype is None else page.dtype.name
    if dtype not in SAMPLE_TYPES and dtype != "bool":
        bits, kind = page.bitspersample, getattr(page.sampleformat, "name", page.sampleformat)
        raise ImageError(
            f"pixels of {bits}-bit type {dtype or kind} cannot be denoised; convert the image to"
            " 16-bit integers or float32"
        )
    if photometric == PALETTE and (dtype not in ("uint8", "uint16") or page.colormap is None):
        raise ImageError("damaged image file: no palette for its pixels")


def _expand(
    array: NDArray[Any], page: TiffPage
) -> tuple[NDArray[Any], NDArray[Any] | None, tuple[str, ...]]:
    """Full colour of full range, channels last."""
    notes: list[str] = []
    if int(page.planarconfig) == 2 and page.samplesperpixel > 1:
        array = np.moveaxis(array, 0, -1)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    photometric, bits = int(page.photometric), int(page.bitspersample)
    if photometric == PALETTE:
        if array.ndim == 3:
            raise ImageError("is a palette image with alpha; convert it to RGBA first")
        colours = np.asarray(page.colormap)
        if array.max() >= colours.shape[1]:
            raise ImageError("damaged image file: a pixel is beyond the palette")
        if colours.max() > 255:
            colours = colours >> 8  # some write n * 256 for n, others n * 257
        array = without_gray_colours(colours.T.astype(np.uint8)[array])
        return array, None, ("the palette is written as full colour",)
    if array.dtype == bool:
        array = array.astype(np.uint8)
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


def _metadata(tags: tuple[ifd.Tag, ...], order: str, page: TiffPage, *, in_stack: bool) -> Metadata:
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
            tags=kept,
        ),
    )


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
