"""PNG: pixels of 8 and 16 bits through imagecodecs, metadata chunk by chunk.

Pillow opens deep colour as 8 bits without a word, so it has no part in this except for the frames
of animations.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from denoise.errors import DamagedImageError, ImageError
from denoise.files.image_file import INCHES_PER_METRE, Decoded, Metadata
from denoise.files.limits import check_frame, check_size
from denoise.files.samples import join_alpha, split_alpha, without_equal_channels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEAST_ROOM = 65_536
PALETTE = 3
# Chunks that stay true although the standard marks them as unsafe to copy.
STILL_TRUE = {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tIME", b"bKGD"}
# Chunks that new pixels make untrue: transparent colours, histograms, animation.
UNTRUE = {b"tRNS", b"hIST", b"acTL", b"fcTL", b"fdAT", b"dSIG"}
SRGB_GAMMA = struct.pack(">I", 45_455)
XMP_KEYWORD = "XML:com.adobe.xmp"
# Compressed metadata may unpack to this many bytes.
LARGEST_METADATA = 2**26


def is_png(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def decode(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """Samples, alpha and chunks; palettes, 1 to 4 bits and transparent colours are expanded.

    Raises
    ------
    ImageError, or imagecodecs.PngError if the pixels are damaged
    """
    chunks = tuple(_read_chunks(data))
    if chunks[:1] and chunks[0][0] == b"CgBI":
        raise ImageError("Apple's variant of PNG (CgBI) is not read; convert it to usual PNG")
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise DamagedImageError("damaged image file: it does not start with a header")
    width, height, depth, colour_type = struct.unpack(">IIBB", chunks[0][1][:10])
    check_size(width, height, max_pixels)
    kinds = {kind for kind, _ in chunks}
    frames = 1
    if b"acTL" in kinds:
        array, frames = _decode_frame(data, depth, frame)
    else:
        check_frame(frame, 1)
        needed = [(k, d) for k, d in chunks if k in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")]
        array = imagecodecs.png_decode(_join(needed))
    samples, alpha = split_alpha(array)
    notes = []
    if colour_type == PALETTE:
        if b"iCCP" not in kinds and samples.ndim == 3:
            samples = without_equal_channels(samples)
        notes.append("the palette is written as full colour")
    elif depth < 8:
        notes.append(f"{depth}-bit pixels are written as 8-bit gray")
    if b"tRNS" in kinds:
        notes.append("the transparent colour is written as an alpha channel")
    expanded = colour_type == PALETTE or depth < 8 or b"tRNS" in kinds
    kept = tuple(chunk for chunk in chunks if _is_kept(chunk[0], expanded))
    return Decoded(samples, alpha, _metadata(kept), tuple(notes), frames=frames)


def encode(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """A PNG file of uint8 or uint16 samples."""
    array = join_alpha(samples, alpha)
    room = 2 * array.nbytes + LEAST_ROOM  # narrow images of noise grow
    head, *rest = _read_chunks(bytes(imagecodecs.png_encode(array, out=room)))
    return _join([head, *(metadata.png_chunks or _chunks(metadata)), *rest])


def has_gamma(chunks: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether PNG chunks alone say how bright pixels show: not as in sRGB, without a profile."""
    known = dict(chunks)
    overruled = b"sRGB" in known or b"iCCP" in known
    odd_gamma = known.get(b"gAMA", SRGB_GAMMA) != SRGB_GAMMA
    return b"cICP" in known or (odd_gamma and not overruled)


def _read_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, data) of each chunk; a damaged one that is not critical is left out."""
    place = len(SIGNATURE)
    while True:
        if place + 12 > len(data):
            raise DamagedImageError("truncated image file: it breaks off between chunks")
        length, kind = struct.unpack_from(">I4s", data, place)
        if place + 12 + length > len(data):
            raise DamagedImageError(
                f"truncated image file: it breaks off in chunk {kind.decode('latin-1')!r}"
            )
        (checksum,) = struct.unpack_from(">I", data, place + 8 + length)
        content = data[place + 8 : place + 8 + length]
        if checksum == zlib.crc32(content, zlib.crc32(kind)):
            yield kind, content
        elif not kind[0] & 32:
            raise DamagedImageError(f"damaged image file: wrong checksum in chunk {kind!r}")
        if kind == b"IEND":
            return
        place += 12 + length


def _join(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    parts = [SIGNATURE]
    for kind, content in chunks:
        checksum = zlib.crc32(content, zlib.crc32(kind))
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)]
    return b"".join(parts)


def _decode_frame(data: bytes, depth: int, frame: int | None) -> tuple[NDArray[Any], int]:
    """Samples of a frame, and how many there are."""
    if depth > 8:
        raise ImageError("16-bit animations cannot be read; save the frame on its own")
    with PngImageFile(io.BytesIO(data)) as image:
        count = getattr(image, "n_frames", 1)
        image.seek(check_frame(frame, count))
        transparent = "transparency" in image.info or image.mode in ("LA", "RGBA")
        target = {"1": "L", "L": "L", "LA": "L"}.get(image.mode, "RGB")
        target += "A" * transparent
        return np.asarray(image.convert(target)), count


def _is_kept(kind: bytes, expanded: bool) -> bool:
    """Whether a chunk stays true when the pixels change (PNG, section 5.4: the fourth letter)."""
    ancillary, safe = bool(kind[0] & 32), bool(kind[3] & 32)
    if not ancillary or kind in UNTRUE or (kind == b"bKGD" and expanded):
        return False
    return safe or kind in STILL_TRUE


def _metadata(chunks: tuple[tuple[bytes, bytes], ...]) -> Metadata:
    """The metadata in chunks, those that other formats can hold included."""
    exif, profile, xmp, dpi = b"", b"", b"", None
    texts: list[tuple[str, str]] = []
    for kind, content in chunks:
        keyword, _, rest = content.partition(b"\0")
        match kind:
            case b"eXIf":
                exif = content
            case b"iCCP":
                profile = _unpack(rest[1:])
            case b"pHYs" if len(content) == 9 and content[8] == 1:
                across, down = struct.unpack(">II", content[:8])
                if across and down:
                    dpi = (across / INCHES_PER_METRE, down / INCHES_PER_METRE)
            case b"tEXt":
                texts.append((keyword.decode("latin-1"), rest.decode("latin-1")))
            case b"zTXt":
                texts.append((keyword.decode("latin-1"), _unpack(rest[1:]).decode("latin-1")))
            case b"iTXt":
                value = rest[2:].split(b"\0", 2)[-1]
                value = _unpack(value) if rest[:1] == b"\1" else value
                if keyword == XMP_KEYWORD.encode():
                    xmp = value
                else:
                    texts.append((keyword.decode("latin-1"), value.decode("utf-8", "replace")))
    return Metadata(exif, profile, xmp, dpi, tuple(texts), png_chunks=chunks)


def _unpack(packed: bytes) -> bytes:
    """Uncompress metadata; damaged or gigantic metadata counts as none."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed, LARGEST_METADATA)
    except zlib.error:
        return b""
    return content if stream.eof else b""


def _chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Chunks for metadata that comes from another format."""
    chunks = []
    if metadata.icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.dpi is not None:
        density = (round(value * INCHES_PER_METRE) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", *density, 1)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    for keyword, value in metadata.text:
        chunks.append((b"iTXt", keyword.encode("latin-1") + b"\0" * 5 + value.encode()))
    if metadata.xmp:
        chunks.append((b"iTXt", XMP_KEYWORD.encode() + b"\0" * 5 + metadata.xmp))
    return chunks
