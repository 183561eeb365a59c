"""Headers of FITS files: cards of 80 bytes, which are all kept as they are.

A file consists of units, each a header and data that fill blocks of 2880 bytes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property

from denoise.errors import DamagedImageError
from denoise.files.ifd import Block

CARD, BLOCK = 80, 2880
END = b"END".ljust(CARD)
SIMPLE = b"SIMPLE  =                    T".ljust(CARD)
# A header of more blocks, of 36 cards each, is taken for damage.
MOST_BLOCKS = 4096
MOST_NAXIS = 999
# Cards about the place and type of the numbers, and those about what they stand for.
STRUCTURE = re.compile(r"SIMPLE|XTENSION|BITPIX|NAXIS\d*")
SCALE = ("BSCALE", "BZERO", "BLANK")
# Cards about axes beyond the second one, their coordinates included.
_OUTER_AXIS = re.compile(
    r"(NAXIS|CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CNAME|CROTA)[3-9][A-Z]?"
    r"|(PC|CD)([12]_[3-9]|[3-9]_\d)[A-Z]?|WCSAXES[A-Z]?"
)
_NUMBER = re.compile(rb" *([+-]?[\d.]+(?:[ED][+-]?\d+)?) *(?:/|$)", re.DOTALL)
_TEXT = re.compile(rb" *'((?:[^']|'')*)'")

Cards = tuple[bytes, ...]


@dataclass(frozen=True)
class FitsLayout:
    """What a FITS file holds beside the pixels of its image.

    Attributes
    ----------
    before, after : the bytes of the other units
    cards : the header of the image without its end, 80 bytes each
    axes : a letter for each axis of the array, as of `files.arrays`; empty if the image stands
        alone
    blank : the value of samples that hold no data
    """

    before: bytes = b""
    cards: Cards = ()
    after: bytes = b""
    axes: str = ""
    blank: int | None = None

    @property
    def has_coordinates(self) -> bool:
        """Whether it says where the pixels lie in the world."""
        return any(keyword(card).startswith("CTYPE1") for card in self.cards)

    @property
    def stripped(self) -> FitsLayout:
        """Nothing but how the pixels are stored."""
        kept = tuple(card for card in self.cards[1:] if _is_storage(card))
        return replace(self, before=b"", cards=(SIMPLE, *kept) if kept else (), after=b"")


@dataclass(frozen=True)
class Header:
    """The values of cards, of which the first one with a name counts."""

    cards: Cards

    def real(self, name: str, default: float | None = None) -> float:
        """A number; a DamagedImageError if there is none and no `default`."""
        if name not in self._values and default is not None:
            return float(default)
        found = _NUMBER.match(self._values.get(name, b""))
        if found is None:
            raise DamagedImageError(f"damaged image file: no number {name} in its header")
        return float(found[1].replace(b"D", b"E"))

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; a DamagedImageError as of `real`."""
        value = self.real(name, default)
        if not value.is_integer():
            raise DamagedImageError(f"damaged image file: {name} is {value}, no whole number")
        return int(value)

    def text(self, name: str) -> str:
        """A text without the spaces at its end; empty if there is none."""
        found = _TEXT.match(self._values.get(name, b""))
        return found[1].decode("ascii", "replace").rstrip() if found else ""

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the axes, that of the slowest axis first."""
        count = self.whole("NAXIS")
        if not 0 <= count <= MOST_NAXIS:
            raise DamagedImageError(f"damaged image file: it has {count} axes")
        lengths = tuple(self.whole(f"NAXIS{number}") for number in range(count, 0, -1))
        if any(length < 0 for length in lengths):
            raise DamagedImageError(f"damaged image file: its size is {lengths}")
        return lengths

    @property
    def nbytes(self) -> int:
        """How many bytes the data after the header have."""
        lengths = self.lengths
        count = math.prod(lengths) + self.whole("PCOUNT", 0) if lengths else 0
        return max(abs(self.whole("BITPIX")) // 8 * self.whole("GCOUNT", 1) * count, 0)

    @cached_property
    def _values(self) -> dict[str, bytes]:
        """By name, what cards that have a value hold after "= "."""
        return {keyword(one): one[10:] for one in reversed(self.cards) if one[8:10] == b"= "}


def keyword(card: bytes) -> str:
    """The name of a card."""
    return card[:8].decode("ascii", "replace").rstrip()


def _is_storage(card: bytes) -> bool:
    name = keyword(card)
    return (
        STRUCTURE.fullmatch(name) is not None
        or is_scale(card)
        or Header((card,)).text(name) == "RGB"
    )


def is_scale(card: bytes) -> bool:
    """Whether a card says what the numbers stand for."""
    return keyword(card) in SCALE


def read_header(data: Block, start: int) -> tuple[Header, int]:
    """Read a header; returns it and where it ends, or raises a DamagedImageError if it does not."""
    cards: list[bytes] = []
    for block in range(start, start + MOST_BLOCKS * BLOCK, BLOCK):
        cards += (data[card : card + CARD] for card in range(block, block + BLOCK, CARD))
        if END in cards[-BLOCK // CARD :] and len(data) >= block + BLOCK:
            return Header(tuple(cards[: cards.index(END)])), block + BLOCK
        if len(data) <= block + BLOCK:
            break
    raise DamagedImageError("truncated image file: a header has no end")


def header_bytes(cards: Cards) -> bytes:
    """The bytes of a header, which fill whole blocks."""
    data = b"".join((*cards, END))
    return data + b" " * padding(len(data))


def padding(nbytes: int) -> int:
    """How many bytes fill the last block."""
    return -nbytes % BLOCK


def number_card(name: str, value: int, like: bytes = b"") -> bytes:
    """A card with a number, and the comment of `like`; `like` itself if it has this number."""
    if like and Header((like,)).real(name) == value:
        return like
    return b"%-8s= %20d%s" % (name.encode(), value, like[30:] or b" " * (CARD - 30))


def with_structure(cards: Cards, bits: int, lengths: tuple[int, ...]) -> Cards:
    """Cards that declare numbers of this type (FITS's BITPIX) and an array of this shape."""
    sizes = {f"NAXIS{number}": length for number, length in enumerate(reversed(lengths), 1)}
    wanted = {"BITPIX": bits, "NAXIS": len(lengths), **sizes}
    old = {keyword(card): card for card in cards}
    structure = (number_card(name, value, old.get(name, b"")) for name, value in wanted.items())
    rest = (card for card in cards[1:] if not STRUCTURE.fullmatch(keyword(card)))
    return (*(cards[:1] or (SIMPLE,)), *structure, *rest)


def of_one_image(cards: Cards) -> Cards:
    """The cards of a stack that are true of one of its images, whose axes are the first two."""
    return tuple(card for card in cards if not _OUTER_AXIS.fullmatch(keyword(card)))
