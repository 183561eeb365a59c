"""The table of formats: what each one holds, and which one a name or content means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from denoise.errors import ImageError
from denoise.files import jpeg, png, pnm, tiff, tiff_writer, webp_bmp
from denoise.files.image_file import Decoded, ImageFile, Metadata


@dataclass(frozen=True)
class Format:
    """A file format and what it holds.

    Attributes
    ----------
    suffixes : of file names, the usual one first
    recognises : whether a file's bytes are of this format
    sample_types : that it holds, by NumPy's names
    alpha, colour : whether it holds an alpha channel, and several channels
    longest : largest width and height in pixels
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    decode: Callable[[bytes, int | None, int], Decoded]
    encode: Callable[[NDArray[Any], NDArray[Any] | None, Metadata], bytes]
    sample_types: frozenset[str]
    alpha: bool
    longest: int = 2**31 - 1


_8_BITS, _16_BITS = frozenset({"uint8"}), frozenset({"uint8", "uint16"})
# fmt: off
FORMATS = (
    Format("PNG", (".png",), png.is_png, png.decode, png.encode, _16_BITS, True),
    Format("JPEG", (".jpg", ".jpeg"), jpeg.is_jpeg, jpeg.decode, jpeg.encode, _8_BITS, False,
           65_500),
    Format("TIFF", (".tif", ".tiff"), tiff.is_tiff, tiff.decode, tiff_writer.encode,
           frozenset(tiff.SAMPLE_TYPES), True),
    Format("WebP", (".webp",), webp_bmp.is_webp, webp_bmp.decode_webp,
           webp_bmp.encode_webp, _8_BITS, True, 16_383),
    Format("BMP", (".bmp",), webp_bmp.is_bmp, webp_bmp.decode_bmp,
           webp_bmp.encode_bmp, _8_BITS, False),
    Format("PNM", (".pgm", ".ppm", ".pnm", ".pbm"), pnm.is_pnm, pnm.decode, pnm.encode,
           _16_BITS, False),
)
# fmt: on
_BY_SUFFIX = {suffix: one for one in FORMATS for suffix in one.suffixes}
BY_NAME = {one.name: one for one in FORMATS}
IMAGE_SUFFIXES = tuple(_BY_SUFFIX)


def recognised(data: bytes) -> Format:
    """The format of a file by its first bytes.

    Raises
    ------
    ImageError
        If it is none of them.
    """
    for one in FORMATS:
        if one.recognises(data):
            return one
    known = ", ".join(one.name for one in FORMATS)
    what = "not an image that can be read" if data else "is empty, not an image"
    raise ImageError(f"{what}; expected {known}")


def format_of_suffix(suffix: str) -> Format:
    """The format of files with a name like this; an ImageError if there is none."""
    try:
        return _BY_SUFFIX[suffix.lower()]
    except KeyError:
        known = " ".join(IMAGE_SUFFIXES)
        raise ImageError(f"unknown file type {suffix!r}; use one of {known}") from None


def check_fit(format_: Format, image: ImageFile) -> None:
    """Raise an ImageError if a format has no room for the samples or the alpha channel."""

    def advice() -> str:
        fit = [
            one.suffixes[0]
            for one in FORMATS
            if image.sample_type in one.sample_types and (one.alpha or image.alpha is None)
        ]
        return f"use {' or '.join(fit)}"

    if image.sample_type not in format_.sample_types:
        raise ImageError(f"{format_.name} holds no {image.sample_type} pixels; {advice()}")
    if image.alpha is not None and not format_.alpha:
        raise ImageError(f"{format_.name} holds no alpha channel; {advice()}")
