"""The axes along which the images of a file lie, such as time (T) and depth (Z).

ImageJ, OME and tifffile say so in the description of the first image of a TIFF file.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress

from denoise.errors import ImageError
from denoise.files.pages import Axes

# ImageJ's keys for the lengths of axes, slowest first, and the letters of these.
IMAGEJ = {b"frames": "T", b"slices": "Z", b"channels": "C"}
# Letters of axes along which images lie and of which nothing else is known.
UNNAMED = "IJKLM"
_LENGTH = re.compile(r"(\D)(\d+)")
_LINE = re.compile(rb"^(\w+)=(\d{1,9})\r?$", re.MULTILINE)
_PIXELS = re.compile(rb"<(?:\w+:)?Pixels\b([^>]*)>")
_FILE = re.compile(rb"""<(?:\w+:)?UUID\b[^>]*\bFileName=["']([^"']+)""")
_COMPANION = re.compile(rb"<(?:\w+:)?BinaryOnly\b")
_ATTRIBUTE = re.compile(rb"""(\w+)=["']([^"']*)["']""")


def described_axes(description: bytes) -> Axes:
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
    elif description.startswith(b'{"shape":'):  # tifffile's, which has no names
        return _shaped(description)
    else:
        pixels = _PIXELS.search(description)
        known = dict(_ATTRIBUTE.findall(pixels[1])) if pixels else {}
        order = known.get(b"DimensionOrder", b"")[:1:-1].decode("ascii", "replace")
        lengths = {axis: _length(known.get(f"Size{axis}".encode(), b"")) for axis in order}
    return tuple((axis, length) for axis, length in lengths.items() if length > 1)


def is_of_several_files(description: bytes) -> bool:
    """Whether OME's description (see `described_axes`) is about images in other files, too."""
    return len(set(_FILE.findall(description))) > 1 or _COMPANION.search(description) is not None


def _length(text: bytes) -> int:
    return int(text) if re.fullmatch(rb"\d{1,9}", text) else 1


def letters_and_lengths(names: str) -> tuple[str, dict[str, int]]:
    """Letters of axes, and the lengths of those that have one.

    >>> letters_and_lengths("t6cyx")
    ('TCYX', {'T': 6})
    """
    given = {letter: int(length) for letter, length in _LENGTH.findall(names.upper())}
    return _LENGTH.sub(r"\1", names.upper()), given


def named_axes(names: str, lengths: tuple[int, ...]) -> Axes:
    """The axes along which images lie, by the names of all axes of a file.

    Parameters
    ----------
    names : a letter for each axis, slowest first, such as "TCYX"; the image's own, Y, X and S (the
        samples of a pixel), come last and may be left out. With lengths other than those of the
        file, such as "T6C2YX", they divide its images anew; see `divided`.
    lengths : of the axes along which images lie, by the file

    Raises
    ------
    ImageError
        If names and lengths do not fit.
    """
    letters, given = letters_and_lengths(names)
    outer = letters.rstrip("S").removesuffix("YX")
    distinct = len(set(outer)) == len(outer) and not set(outer) & set("YXS") and outer.isalpha()
    if distinct and is_fit(outer, lengths, given):
        return tuple(zip(outer, lengths, strict=True))
    if distinct and given:
        return divided(names, outer, given, math.prod(lengths))
    known = "x".join(str(length) for length in lengths)
    along = f"{known} images, one letter for each number" if lengths else "one image"
    raise ImageError(
        f"axes {names} do not fit: it holds {along}; letters are such as T, Z or C, and then YX,"
        " and may have lengths, as in T6C2YX"
    )


def is_fit(letters: str, lengths: tuple[int, ...], given: dict[str, int]) -> bool:
    """Whether axes of these letters have these lengths, as far as they were given."""
    known = dict(zip(letters, lengths, strict=False))
    return len(letters) == len(lengths) and known.items() >= given.items()


def divided(names: str, letters: str, given: dict[str, int], count: int) -> Axes:
    """Axes of given lengths for this many images; those of length 1 are left out.

    Parameters
    ----------
    names : as the user wrote them, for the message
    letters : of the axes along which images lie, slowest first
    given : lengths; one may be missing, and follows from the others

    Raises
    ------
    ImageError
        If their product is another number.
    """
    missing = [letter for letter in letters if letter not in given]
    if len(missing) == 1:
        given = {**given, missing[0]: count // max(math.prod(given.values()), 1)}
    complete = letters.isalpha() and sorted(letters) == sorted(given)
    if not complete or math.prod(given.values()) != count:
        images = f"{count} images" if count > 1 else "one image"
        raise ImageError(
            f"axes {names} do not fit: it holds {images}; give lengths whose product is {count}, of"
            " which one may be left out, as in TC2YX"
        )
    return tuple((letter, given[letter]) for letter in letters if given[letter] > 1)


def fitting_axes(axes: Axes, count: int) -> Axes:
    """The axes of so many images: what a file says if that fits, else one of unknown meaning.

    OME counts the samples of a colour pixel as channels, too.
    """
    for one in (axes, tuple(axis for axis in axes if axis[0] != "C")):
        if math.prod(length for _, length in one) == count:
            return one
    return ((UNNAMED[0], count),)


def _shaped(description: bytes) -> Axes:
    with suppress(ValueError, TypeError, KeyError):
        shape = json.loads(description.rstrip(b"\0"))["shape"]
        lengths = [int(length) for length in shape if int(length) > 1]
        return tuple(zip(UNNAMED, lengths[:-2], strict=False))
    return ()
