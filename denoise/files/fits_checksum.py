"""Checksums of FITS files: CHECKSUM is about a header and its data, DATASUM about the data alone.

They are sums of all 32-bit words in ones' complement: what is carried over is added at the low end.
"""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from denoise.files.fits_header import CARD, Cards, header_bytes, keyword

NAMES = ("CHECKSUM", "DATASUM")
WORD = 2**32 - 1
PIECE = 2**20
# Characters between digits and letters, which a checksum must not contain.
_SYMBOLS = range(ord(":"), ord("A")), range(ord("["), ord("a"))
_VALUE = re.compile(rb"'[^']*' *")


def has_checksum(cards: Cards) -> bool:
    return any(keyword(card) in NAMES for card in cards)


def sum_of(data: bytes, start: int = 0) -> int:
    """The sum of all words of 4 bytes, added to the sum `start`."""
    total = start + int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total > WORD:
        total = (total & WORD) + (total >> 32)
    return total


def signed(cards: Cards, file: BinaryIO, start: int, end: int) -> bytes:
    """The bytes of a header whose checksums fit its data.

    Parameters
    ----------
    cards : of the header, of which those with a checksum are to be set
    file : holds the data from `start` to `end`, in whole words
    """
    data_sum = 0
    file.seek(start)
    for place in range(start, end, PIECE):
        data_sum = sum_of(file.read(min(PIECE, end - place)), data_sum)
    cards = _with_text(cards, "DATASUM", str(data_sum))
    cards = _with_text(cards, "CHECKSUM", "0" * 16)
    total = sum_of(header_bytes(cards), data_sum)
    return header_bytes(_with_text(cards, "CHECKSUM", checksum_text(total)))


def checksum_text(total: int) -> str:
    """The 16 characters that make the sum zero where 16 characters "0" stood before."""
    rows = []
    for byte in (WORD - total).to_bytes(4, "big"):
        quotient, remainder = divmod(byte, 4)
        row = [ord("0") + quotient + remainder, *[ord("0") + quotient] * 3]
        while any(one in symbols for one in row for symbols in _SYMBOLS):
            for place in (0, 2):  # what one character gains, its neighbour loses
                if any(one in symbols for one in row[place : place + 2] for symbols in _SYMBOLS):
                    row[place] += 1
                    row[place + 1] -= 1
        rows.append(row)
    text = "".join(chr(row[place]) for place in range(4) for row in rows)
    return text[-1] + text[:-1]  # in a card it begins at the last byte of a word


def _with_text(cards: Cards, name: str, text: str) -> Cards:
    """Cards in which those of this name get another text and keep their comment."""

    def changed(card: bytes) -> bytes:
        value = f"'{text:<8}'".encode()
        found = _VALUE.match(card, 10)
        width, rest = (len(found[0]), card[found.end() :]) if found else (0, b"")
        return (card[:8] + b"= " + value.ljust(width) + rest)[:CARD].ljust(CARD)

    return tuple(changed(card) if keyword(card) == name else card for card in cards)
