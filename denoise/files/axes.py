"""What the images of a TIFF file are, as ImageJ and OME say in the description of the first one."""

from __future__ import annotations

import re

# Keys of ImageJ and the axes that they are about, slowest first.
IMAGEJ = {b"frames": "T", b"slices": "Z", b"channels": "C"}
_LINE = re.compile(rb"^(\w+)=(\d{1,9})\r?$", re.MULTILINE)
_PIXELS = re.compile(rb"<(?:\w+:)?Pixels\b([^>]*)>")
_ATTRIBUTE = re.compile(rb"""(\w+)=["']([^"']*)["']""")


def described_axes(description: bytes) -> tuple[tuple[str, int], ...]:
    """Names and lengths of the axes along which images lie, slowest first: ("T", 5), ("Z", 3).

    Axes of length 1 are left out, and those within an image.

    Parameters
    ----------
    description : the text of TIFF's tag 270

    Returns
    -------
    tuple, empty where the description says nothing
    """
    if description.startswith(b"ImageJ="):
        sizes = dict(_LINE.findall(description))
        lengths = {axis: int(sizes.get(key, 1)) for key, axis in IMAGEJ.items()}
    else:
        pixels = _PIXELS.search(description)
        known = dict(_ATTRIBUTE.findall(pixels[1])) if pixels else {}
        order = known.get(b"DimensionOrder", b"")[:1:-1].decode("ascii", "replace")
        lengths = {axis: _length(known.get(f"Size{axis}".encode(), b"")) for axis in order}
    return tuple((axis, length) for axis, length in lengths.items() if length > 1)


def _length(text: bytes) -> int:
    return int(text) if re.fullmatch(rb"\d{1,9}", text) else 1
