"""Some rows of a TIFF page as a file of their own, which is small and is read as any other.

Only the strips or tiles that hold the rows are copied; they stay packed as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

from tifffile import TiffPage

from denoise.errors import DamagedImageError
from denoise.files import ifd
from denoise.files.tiff import NODATA
from denoise.files.tiff_writer import NONE

# Tags that say how samples are packed and what they mean; they stay as they are.
PACKING = {258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 338, 339, NODATA}

# Reads so many bytes of a file; its arguments are their offset and their number.
Read = Callable[[int, int], bytes]
# Where strips or tiles lie: the offset and number of bytes of each.
Segments = list[tuple[int, int]]


def file_of_rows(
    page: TiffPage, tags: Sequence[ifd.Tag], order: str, top: int, bottom: int, read: Read
) -> tuple[bytes, int]:
    """A TIFF file that holds some rows of a page, and perhaps some around them.

    Parameters
    ----------
    tags : of the page; their data has the byte order `order`, as the samples have

    Returns
    -------
    data : of the file
    first : number of its first row in the page

    Raises
    ------
    DamagedImageError
        If strips or tiles are missing.
    """
    planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
    unit = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    across = math.ceil(page.imagewidth / page.tilewidth) if page.is_tiled else 1
    of_a_plane = across * math.ceil(page.imagelength / unit)
    found: Segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(found) < planes * of_a_plane:
        raise DamagedImageError("damaged image file: strips or tiles are missing")
    first = top // unit * unit
    last = min(math.ceil(bottom / unit) * unit, page.imagelength)
    wanted: list[Segments] = []
    for plane in range(planes):
        start = plane * of_a_plane
        own = slice(start + first // unit * across, start + math.ceil(last / unit) * across)
        wanted.append(found[own])
    if int(page.compression) == NONE and not page.is_tiled:  # strips may be as large as the image
        line = math.ceil(page.imagewidth * page.samplesperpixel // planes * page.bitspersample / 8)
        wanted = [_lines(strips, unit * line, (top - first) * line, (bottom - first) * line)
                  for strips in wanted]  # fmt: skip
        packed = [b"".join(read(*piece) for piece in strips) for strips in wanted]
        first, last, unit = top, bottom, bottom - top
    else:
        packed = [read(*segment) for strips in wanted for segment in strips]
    return _file(page, tags, order, last - first, unit, packed), first


def _lines(strips: Segments, size: int, start: int, stop: int) -> Segments:
    """The pieces of strips of this many bytes in which the bytes from `start` to `stop` are."""
    pieces = []
    for number, (offset, _) in enumerate(strips):
        begin, end = max(start - number * size, 0), min(stop - number * size, size)
        if begin < end:
            pieces.append((offset + begin, end - begin))
    return pieces


def _file(
    page: TiffPage,
    tags: Sequence[ifd.Tag],
    order: str,
    height: int,
    unit: int,
    packed: Sequence[bytes],
) -> bytes:
    """A TIFF file of `height` rows, whose strips or tiles of `unit` rows hold this data."""
    head = len(ifd.header(order, 0))
    lengths = [len(data) for data in packed]
    offsets = [head + end for end in accumulate(lengths[:-1], initial=0)]
    places, counts = (324, 325) if page.is_tiled else (273, 279)
    storage = [(256, [page.imagewidth]), (257, [height]), (places, offsets), (counts, lengths)]
    if page.is_tiled:
        storage += [(322, [page.tilewidth]), (323, [unit])]
    else:
        storage += [(278, [unit])]
    body = b"".join(packed)
    body += bytes(len(body) % 2)  # offsets are even
    own = [ifd.numbers(code, ifd.LONG, order, *values) for code, values in storage]
    kept = [tag for tag in tags if tag.code in PACKING]
    at = head + len(body)
    return ifd.header(order, at) + body + ifd.write_directory([*kept, *own], order, at)[0]
