"""Tag directories (IFDs) of TIFF files and EXIF blocks, which are one structure.

Tags are carried as raw bytes so that they come out as they went in; tifffile refuses to write
EXIF directories and the resolution as tags, Pillow turns what is not ASCII into question marks.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from typing import NamedTuple

from denoise.errors import DamagedImageError

# TIFF 6.0, section 2: size in bytes of each type of value; 13 is an offset to a directory.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
ORIENTATION = 274
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
# BigTIFF's 64-bit whole number, which is written but not read.
LONG8 = 16
# Exif, GPS and interoperability directories.
SUB_DIRECTORIES = {34665, 34853, 40965}
DEEPEST = 2
# The limit of tifffile; usual directories have some dozens of tags.
MOST_TAGS = 4096
BYTE_ORDERS = {b"II": "<", b"MM": ">"}
# A file's content, in memory or mapped into it.
Block = bytes | mmap.mmap


class Tag(NamedTuple):
    """One tag: its value as raw bytes, or the directory that it points to."""

    code: int
    type: int
    data: bytes
    children: tuple[Tag, ...] = ()


def byte_order(block: Block) -> str:
    """ "<" or ">" of a TIFF file or an EXIF block."""
    return BYTE_ORDERS.get(block[:2], "<")


def read_directory(block: Block, offset: int | None = None, *, depth: int = 0) -> tuple[Tag, ...]:
    """The tags of a directory that can be read; damaged ones are left out.

    Parameters
    ----------
    block : from the byte order mark on; classic or BigTIFF
    offset : of the directory; None for the first one
    """
    order = byte_order(block)
    pointer, entry, count_code = _codes(block)
    try:
        if offset is None:
            (offset,) = struct.unpack_from(order + pointer, block, struct.calcsize(pointer))
        (count,) = struct.unpack_from(order + count_code, block, offset)
    except struct.error:
        return ()
    tags: list[Tag] = []
    count = min(count, MOST_TAGS)
    start, size = offset + struct.calcsize("=" + count_code), struct.calcsize("=" + entry)
    room = len(block)  # values do not overlap in a sound file
    for place in range(start, min(start + count * size, len(block) - size + 1), size):
        code, kind, values, inline = struct.unpack_from(order + entry, block, place)
        length = values * SIZES.get(kind, 0)
        (target,) = struct.unpack(order + pointer, inline)
        if code in SUB_DIRECTORIES:
            if depth < DEEPEST:
                children = read_directory(block, target, depth=depth + 1)
                tags.append(Tag(code, LONG, b"", children))
            continue
        if length == 0 or length > room:
            continue
        data = inline[:length] if length <= len(inline) else block[target : target + length]
        if len(data) == length:
            room -= length
            tags.append(Tag(code, kind, data))
    return tuple(tags)


def directory_offsets(block: Block) -> list[int]:
    """Where the directories of a TIFF file start, one for each page.

    Raises
    ------
    ImageError
        If they do not fit into the file or form a loop.
    """
    order = byte_order(block)
    pointer, entry, count_code = _codes(block)
    offsets, room, place = [], len(block), struct.calcsize(pointer)
    try:
        (offset,) = struct.unpack_from(order + pointer, block, place)
        while offset:
            offsets.append(offset)
            (count,) = struct.unpack_from(order + count_code, block, offset)
            if count > MOST_TAGS:
                raise DamagedImageError(f"damaged image file: a directory has {count} tags")
            size = struct.calcsize("=" + count_code) + count * struct.calcsize("=" + entry)
            room -= size
            if room < 0:
                raise DamagedImageError("damaged image file: its directories overlap")
            (offset,) = struct.unpack_from(order + pointer, block, offset + size)
    except struct.error:
        raise DamagedImageError("truncated image file: a directory is missing") from None
    return offsets


def _codes(block: Block) -> tuple[str, str, str]:
    """Struct codes of an offset, an entry and the number of entries; BigTIFF has wider ones."""
    big = block[2:4] in (b"+\0", b"\0+")
    return ("Q", "HHQ8s", "Q") if big else ("I", "HHI4s", "H")


def write_directory(
    tags: Iterable[Tag], order: str, offset: int, *, big: bool = False
) -> tuple[bytes, int]:
    """A directory and its values, for a place `offset` bytes after the byte order mark.

    Parameters
    ----------
    big : as BigTIFF has it

    Returns
    -------
    data : it says that no directory follows
    link : where in `data` the offset of the next directory would be
    """
    pointer, count_code = ("Q", "Q") if big else ("I", "H")
    width = struct.calcsize(pointer)
    entries = sorted((tag for tag in tags if tag.data or tag.children), key=lambda tag: tag.code)
    head, values = bytearray(struct.pack(order + count_code, len(entries))), bytearray()
    link = len(head) + len(entries) * (4 + 2 * width)
    for tag in entries:
        place = offset + link + width + len(values)
        if tag.children:
            count, inline = 1, struct.pack(order + pointer, place)
            values += write_directory(tag.children, order, place, big=big)[0]
        else:
            count, inline = len(tag.data) // (SIZES | {LONG8: 8})[tag.type], tag.data
            if len(inline) > width:
                inline = struct.pack(order + pointer, place)
                values += tag.data
        values += bytes(len(values) % 2)  # offsets are even
        entry = struct.pack(order + "HH" + pointer, tag.code, tag.type, count)
        head += entry + inline.ljust(width, b"\0")
    return bytes(head + bytes(width) + values), link


def header(order: str, directory_offset: int, *, big: bool = False) -> bytes:
    """The bytes that a TIFF file or an EXIF block starts with; the offset comes last."""
    mark = b"II" if order == "<" else b"MM"
    if big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, directory_offset)
    return mark + struct.pack(order + "HI", 42, directory_offset)


def exif_block(tags: Iterable[Tag], order: str) -> bytes:
    """An EXIF block that holds the tags; empty if there are none."""
    kept = tuple(tags)
    return header(order, 8) + write_directory(kept, order, 8)[0] if kept else b""


def numbers(code: int, kind: int, order: str, *values: int) -> Tag:
    """A tag of whole numbers; a rational takes two of them."""
    form = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}[kind]
    return Tag(code, kind, struct.pack(f"{order}{len(values)}{form}", *values))


def text(code: int, value: str) -> Tag:
    """A tag of text."""
    return Tag(code, ASCII, value.encode() + b"\0")


def first_rational(tags: Iterable[Tag], code: int, order: str) -> float | None:
    """Value of a rational tag; None if it is missing, zero or infinite."""
    for tag in tags:
        if tag.code == code and tag.type == RATIONAL:
            numerator, denominator = struct.unpack_from(order + "II", tag.data)
            return numerator / denominator if numerator and denominator else None
    return None


def orientation(block: bytes) -> int:
    """The orientation in an EXIF block (TIFF 6.0, tag 274); 1 if pixels show as they lie."""
    for tag in read_directory(block):
        if tag.code == ORIENTATION and tag.type == SHORT:
            return int(struct.unpack_from(byte_order(block) + "H", tag.data)[0])
    return 1
