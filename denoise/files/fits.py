"""FITS: the first image of a file, or several in one array; all else stays as it is.

Rows stay in their order, of which FITS shows the first one at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoise.errors import DamagedImageError, ImageError
from denoise.files.array_shape import ArrayShape, array_shape
from denoise.files.arrays import FileArrayPages, FileArrayWriter
from denoise.files.axes import UNNAMED
from denoise.files.bytes import contents
from denoise.files.fits_checksum import has_checksum, signed
from denoise.files.fits_header import (
    FitsLayout,
    Header,
    header_bytes,
    is_scale,
    number_card,
    of_one_image,
    padding,
    read_header,
    with_structure,
)
from denoise.files.ifd import Block
from denoise.files.image_file import Decoded, Metadata
from denoise.files.limits import refused_type
from denoise.files.samples import split_alpha

SAMPLE_TYPES = frozenset({"uint8", "int8", "int16", "uint16", "float32", "float64"})
# Types of the stored numbers by BITPIX, and the offsets (BZERO) that stand for another sign.
STORED = {8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}
OFFSETS = {"int8": (8, -(2**7)), "uint16": (16, 2**15)}
# Kinds of coordinates (CTYPE), up to a hyphen, and the letters of their axes.
KINDS = {"RGB": "S", "STOKES": "C", "TIME": "T", "UTC": "T", "FREQ": "F", "WAVE": "W", "AWAV": "W"}
RGB = b"CTYPE3  = 'RGB     '".ljust(80)


def is_fits(data: bytes) -> bool:
    return data.startswith(b"SIMPLE  = ")


class FitsPages(FileArrayPages):
    """The images of the first array in a file, read one at a time; see `files.pages.Pages`.

    Parameters
    ----------
    axes : letters of all axes, by the user; see `array_shape`

    Raises
    ------
    ImageError
        If the file is damaged or holds no image, its type is not one of pixels, or it has other
        axes.
    """

    def __init__(self, file: BinaryIO, axes: str | None = None) -> None:
        data = contents(file)
        unit = _image_unit(data)
        header = unit.header
        self._type = _sample_type(header)
        if self._type not in SAMPLE_TYPES:
            raise refused_type(abs(header.whole("BITPIX")), self._type)
        shape = array_shape(header.lengths, _usual_letters(header), axes)
        dtype = np.dtype(STORED[header.whole("BITPIX")]).newbyteorder(">")
        super().__init__(file, unit.data, dtype, shape)
        whole = np.dtype(self._type).kind != "f"
        offset = OFFSETS.get(self._type, (0, 0))[1]
        blank = header.whole("BLANK") + offset if whole and "BLANK" in header else None
        before, after = data[: unit.start], data[unit.end :]
        self._layout = FitsLayout(before, header.cards, after, shape.letters, blank)

    def _decoded(self, image: NDArray[Any], *, whole_file: bool) -> Decoded:
        image = _other_sign(image, self._type)
        layout, channels = self._layout, np.atleast_3d(image)
        if layout.blank is None:
            no_data = np.isnan(channels).any(2)
        else:
            no_data = (channels == layout.blank).all(2)
        if not whole_file:
            layout = replace(layout, cards=of_one_image(layout.cards), axes="")
        samples, alpha = split_alpha(image)
        return Decoded(samples, alpha, Metadata(fits=layout), no_data=no_data)


class FitsWriter(FileArrayWriter):
    """Writes an array, and all else of the file that it comes from."""

    colours = "SYX"

    def _letters(self, metadata: Metadata) -> str:
        return metadata.fits.axes

    def _write_header(
        self, shape: ArrayShape, dtype: np.dtype[Any], metadata: Metadata
    ) -> tuple[np.dtype[Any], bool]:
        layout, bits = metadata.fits, _bits(dtype)
        cards = with_structure(layout.cards, bits, shape.lengths)
        if _sample_type(Header(cards)) != dtype.name:
            offset = OFFSETS.get(dtype.name, (bits, 0))[1]
            scale = (number_card("BZERO", offset), number_card("BSCALE", 1)) if offset else ()
            cards = (*(card for card in cards if not is_scale(card)), *scale)
        if not layout.cards and "S" in shape.letters:
            cards = (*cards, RGB)
        self._cards = cards
        self._file.write(layout.before + header_bytes(cards))
        return np.dtype(STORED[bits]).newbyteorder(">"), False

    def _put(self, stored: NDArray[Any], number: int, rows: slice) -> None:
        super()._put(_other_sign(stored, STORED[_bits(stored.dtype)]), number, rows)

    def _end(self, metadata: Metadata) -> None:
        """Write all after the array, and the sums over it."""
        self._file.write(bytes(padding(self._nbytes)))
        end = self._file.tell()
        self._file.write(metadata.fits.after)
        if has_checksum(self._cards):
            header = signed(self._cards, self._file, self._start, end)
            self._file.seek(len(metadata.fits.before))
            self._file.write(header)


class _Unit(NamedTuple):
    """A header and its data, by their places in the file."""

    start: int
    header: Header
    data: int
    end: int


def _units(data: Block) -> Iterator[_Unit]:
    """All units of a file; an ImageError if it breaks off."""
    start = 0
    while start == 0 or data[start : start + 8] == b"XTENSION":
        header, at = read_header(data, start)
        end = at + header.nbytes + padding(header.nbytes)
        if end > len(data):
            raise DamagedImageError(f"truncated image file: {len(data)} of {end} bytes")
        yield _Unit(start, header, at, end)
        start = end


def _image_unit(data: Block) -> _Unit:
    """The first unit with an image; an ImageError if there is none."""
    for unit in list(_units(data)):
        header = unit.header
        if "ZIMAGE" in header:
            raise ImageError("is a compressed image in a table; unpack it first, as with funpack")
        is_image = unit.start == 0 or header.text("XTENSION") == "IMAGE"
        if is_image and header.lengths and 0 not in header.lengths:
            return unit
    raise ImageError("holds no image")


def _sample_type(header: Header) -> str:
    """NumPy's name of the type; a BZERO counts only where it stands for another sign."""
    bits = header.whole("BITPIX")
    if bits not in STORED:
        raise DamagedImageError(f"damaged image file: its numbers have {bits} bits")
    kind = (bits, header.real("BZERO", 0.0))
    is_plain = header.real("BSCALE", 1.0) == 1
    return next((name for name, one in OFFSETS.items() if one == kind and is_plain), STORED[bits])


def _bits(dtype: np.dtype[Any]) -> int:
    """What BITPIX says of numbers of this type."""
    return 8 * dtype.itemsize * (-1 if dtype.kind == "f" else 1)


def _other_sign(image: NDArray[Any], name: str) -> NDArray[Any]:
    """Integers moved by half their range if the type of this name has another sign."""
    if image.dtype.name == name:
        return image
    whole = image.view(f"u{image.itemsize}")
    half = whole.dtype.type(1 << (8 * image.itemsize - 1))
    return np.asarray(whole ^ half).view(np.dtype(name))


def _usual_letters(header: Header) -> str:
    """A letter for each axis, by the kinds of coordinates where these are known and differ."""
    lengths = header.lengths[:-2]
    kinds = [header.text(f"CTYPE{n}").split("-")[0] for n in range(len(lengths) + 2, 2, -1)]
    known = [KINDS.get(kind, "") for kind in kinds]
    spare = iter(UNNAMED)
    letters = ""
    for letter, length in zip(known, lengths, strict=True):
        is_fit = known.count(letter) == 1 and (letter != "S" or length == 3)
        letters += letter if letter and is_fit else next(spare, "")
    return letters + "YX"
