"""JPEG: pixels through Pillow, metadata segment by segment."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from denoise.errors import ImageError
from denoise.files.image_file import Decoded, Metadata
from denoise.files.limits import check_frame, check_size

QUALITY = 95
END, SCAN, COMMENT, ADOBE = 0xD9, 0xDA, 0xFE, 0xEE
# Frame headers (ITU T.81, table B.1): all, and those of codings that libjpeg-turbo decodes.
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
DECODED_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
JFIF, EXIF, PROFILE = b"JFIF\0", b"Exif\0\0", b"ICC_PROFILE\0"
XMP, FURTHER_IMAGES = b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0"
LONGEST = 65_533  # bytes in a segment


def is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def decode(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """Gray or RGB samples of the main image; other colour spaces are refused."""
    check_frame(frame, 1)
    segments = tuple(_segments(data))
    _check_kind(segments)
    with JpegImageFile(io.BytesIO(data)) as image:
        check_size(*image.size, max_pixels)
        if image.mode not in ("L", "RGB"):
            raise ImageError(f"colours are {image.mode}; convert the image to RGB or gray first")
        image.load()
        samples = np.array(image)
        tables = tuple(tuple(table) for table in image.quantization.values())
    notes: tuple[str, ...] = ()
    if any(content.startswith(FURTHER_IMAGES) for _, content in segments):
        notes = ("further pictures in the file (a preview, a depth map) are left out",)
    return Decoded(samples, None, _metadata(segments, tables), notes)


def encode(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A JPEG file without chroma subsampling, quantised no coarser than quality 95 or its source.

    Raises
    ------
    ImageError
        If metadata is too long for a segment.
    """
    assert alpha is None
    buffer = io.BytesIO()
    image = Image.fromarray(samples)
    tables = _quality_tables(samples.ndim)
    if metadata.jpeg_tables:
        source = [metadata.jpeg_tables[min(n, len(metadata.jpeg_tables) - 1)] for n in (0, 1)]
        tables = [np.minimum(a, b).tolist() for a, b in zip(tables, source, strict=False)]
    image.save(buffer, "JPEG", qtables=tables, subsampling=0)
    encoded = buffer.getvalue()
    head = [*(metadata.jpeg_segments or _new_segments(metadata))]
    own = next(_segments(encoded))  # Pillow's JFIF segment, with four bytes before its content
    return b"\xff\xd8" + _join(head) + encoded[2 + 4 + len(own[1]) :]


def _quality_tables(dimensions: int) -> list[list[int]]:
    """Quantisation tables of quality 95, as Pillow and its library have them."""
    buffer = io.BytesIO()
    mode = "L" if dimensions == 2 else "RGB"
    Image.new(mode, (8, 8)).save(buffer, "JPEG", quality=QUALITY)
    with JpegImageFile(io.BytesIO(buffer.getvalue())) as image:
        return [list(table) for table in image.quantization.values()]


def _check_kind(segments: Iterable[tuple[int, bytes]]) -> None:
    """Refuse valid files that are not decoded, by their frame header; damaged ones pass."""
    for marker, content in segments:
        if marker not in FRAMES or len(content) < 6:
            continue
        depth, height, _, channels = struct.unpack_from(">BHHB", content)
        if marker not in DECODED_FRAMES:
            kind = f"SOF{marker - 0xC0}"  # SOF55 is JPEG-LS
            raise ImageError(f"JPEG with the frame type {kind} is not read; convert it to PNG")
        if depth != 8:
            raise ImageError(f"{depth}-bit JPEG is not read; convert it to 16-bit PNG")
        if channels not in (1, 3, 4):
            raise ImageError(f"has {channels} channels; gray or RGB can be read")
        if height == 0:
            raise ImageError("JPEG with its height after its pixels is not read; convert it to PNG")


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of the segments before the first scan."""
    place = 2
    while place + 4 <= len(data):
        marker, length = struct.unpack_from(">xBH", data, place)
        if data[place] != 0xFF or marker in (SCAN, END):
            return
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if length >= 2:
            yield marker, data[place + 4 : place + 2 + length]
        place += 2 + length


def _metadata(
    segments: tuple[tuple[int, bytes], ...], tables: tuple[tuple[int, ...], ...]
) -> Metadata:
    """The metadata in application segments and comments; Adobe's describes the old encoding."""
    kept = tuple(
        (marker, content)
        for marker, content in segments
        if (0xE0 <= marker <= 0xEF and marker != ADOBE) or marker == COMMENT
        if not content.startswith((FURTHER_IMAGES, b"JFXX\0"))
    )
    exif, profile, xmp, dpi = b"", b"", b"", None
    texts = []
    for marker, content in kept:
        if marker == COMMENT:
            texts.append(("Comment", content.rstrip(b"\0").decode("utf-8", "replace")))
        elif content.startswith(EXIF):
            exif = exif or content[len(EXIF) :]
        elif content.startswith(PROFILE):
            profile += content[len(PROFILE) + 2 :]
        elif content.startswith(XMP):
            xmp = content[len(XMP) :]
        elif content.startswith(JFIF) and len(content) >= 12:
            unit, across, down = struct.unpack_from(">BHH", content, 7)
            scale = {1: 1.0, 2: 2.54}.get(unit)
            if scale is not None and across and down:
                dpi = (across * scale, down * scale)
    return Metadata(exif, profile, xmp, dpi, tuple(texts), jpeg_segments=kept, jpeg_tables=tables)


def _new_segments(metadata: Metadata) -> list[tuple[int, bytes]]:
    """Segments for metadata that comes from another format."""
    unit, density = 0, [1, 1]
    if metadata.dpi is not None and max(metadata.dpi) < 65_535:
        unit, density = 1, [round(value) for value in metadata.dpi]
    segments = [(0xE0, JFIF + struct.pack(">HBHHBB", 0x0101, unit, *density, 0, 0))]
    if metadata.exif:
        segments.append((0xE1, EXIF + metadata.exif))
    if metadata.xmp:
        segments.append((0xE1, XMP + metadata.xmp))
    profile, room = metadata.icc_profile, LONGEST - len(PROFILE) - 2
    parts = [profile[start : start + room] for start in range(0, len(profile), room)]
    if len(parts) > 255:
        raise ImageError(f"the colour profile of {len(profile)} bytes is too long for JPEG")
    for number, part in enumerate(parts, 1):
        segments.append((0xE2, PROFILE + bytes([number, len(parts)]) + part))
    for keyword, value in metadata.text:
        comment = value if keyword == "Comment" else f"{keyword}: {value}"
        segments.append((COMMENT, comment.encode()))
    return segments


def _join(segments: Iterable[tuple[int, bytes]]) -> bytes:
    parts = []
    for marker, content in segments:
        if len(content) > LONGEST:
            raise ImageError(
                f"{len(content)} bytes of metadata are too long for JPEG, which holds {LONGEST} in"
                " one piece; use --strip or write a PNG"
            )
        parts.append(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content)
    return b"".join(parts)
