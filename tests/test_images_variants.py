"""Variants of the formats: those that are not read are refused as such, not as damaged files."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_samples import pillow_bytes, random_samples, stored, tiff_bytes

from denoise.errors import DamagedImageError, ImageError
from denoise.files.images import encode_image, read_image
from denoise.files.samples import to_8bit

GRAY, COLOUR = random_samples("uint8", (16, 16)), random_samples("uint8", (16, 16, 3))
FLOATS = COLOUR.astype("f4")


def jpeg(position: int, value: bytes) -> bytes:
    """A JPEG file with other bytes at a place in its frame header."""
    data = pillow_bytes(GRAY, "JPEG")
    place = data.index(b"\xff\xc0") + position
    return data[:place] + value + data[place + len(value) :]


def bmp(bits: int, compression: int = 0, masks: bytes = b"", *, header: int = 40) -> bytes:
    """A BMP file of 16x16 pixels."""
    body = bytes(16 * max(bits, 8) * 16 // 8)
    start = 14 + header + len(masks)
    head = struct.pack("<IiiHHIIiiII", header, 16, 16, 1, bits, compression, len(body), 0, 0, 0, 0)
    head = head.ljust(header, b"\0")[:header]
    return struct.pack("<2sIII", b"BM", start + len(body), 0, start) + head + masks + body


def patched_tiff(array: np.ndarray, code: int, *values: int, **arguments: object) -> bytes:
    """A TIFF file in which a tag of whole numbers has other values."""
    data = bytearray(tiff_bytes(array, **arguments))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = file.pages.first.tags[code].valueoffset
    data[place : place + 2 * len(values)] = struct.pack(f"<{len(values)}H", *values)
    return bytes(data)


def png_of_apple() -> bytes:
    data = pillow_bytes(COLOUR, "PNG")
    chunk = b"CgBI" + bytes(4)
    checksum = struct.pack(">I", zlib.crc32(chunk))
    return data[:8] + struct.pack(">I", 4) + chunk + checksum + data[8:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(imagecodecs.jpegls_encode(GRAY)), "frame type SOF55 is not read; convert it to PNG"),
        (jpeg(1, b"\xc5"), "frame type SOF5 is not read"),
        (jpeg(4, b"\x0c"), "12-bit JPEG is not read; convert it to 16-bit PNG"),
        (jpeg(5, b"\0\0"), "height after its pixels is not read"),
        (jpeg(9, b"\2"), "has 2 channels; gray or RGB can be read"),
        (png_of_apple(), r"Apple's variant of PNG \(CgBI\) is not read"),
        (
            bmp(16, 3, struct.pack("<III", 0xF00, 0xF0, 0xF)),
            "this kind of BMP is not read: .*layout",
        ),
        (bmp(64), r"this kind of BMP is not read: .*depth \(64\)"),
        (bmp(24, 4), r"this kind of BMP is not read: .*compression \(4\)"),
        (bmp(0, 5), "this kind of BMP is not read"),
        (bmp(24, header=16), r"this kind of BMP is not read: .*header type \(16\)"),
        (patched_tiff(GRAY.astype("f4"), 258, 24), "pixels of 24-bit type float32 cannot be"),
        (patched_tiff(COLOUR, 258, 5, 6, 5), "channels are of different types; convert them"),
        (
            patched_tiff(FLOATS, 339, 3, 3, 1, photometric="rgb"),
            "channels are of different types; convert them",
        ),
        (
            patched_tiff(COLOUR, 317, 34_892, compression="zlib", predictor=True),
            "predictor 34892 of TIFF is not read",
        ),
    ],
    ids=range(15),
)
def test_valid_files_that_are_not_read_are_not_called_damaged(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_image(data)
    assert not isinstance(caught.value, DamagedImageError)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(1, b"\xc0")[:60],
        bmp(24)[:30],
        pillow_bytes(COLOUR, "WEBP")[:40],
        tiff_bytes(COLOUR)[:300],
        b"P5 2 2 255\n\1",
    ],
    ids=["JPEG", "BMP", "WebP", "TIFF", "PNM"],
)
def test_files_that_break_off_are_called_damaged_or_truncated(data: bytes) -> None:
    with pytest.raises(DamagedImageError, match=r"damaged|truncated"):
        read_image(data)


def test_variants_that_are_read() -> None:
    for name, data, expected in (
        ("progressive JPEG", pillow_bytes(COLOUR, "JPEG", progressive=True), None),
        ("16-bit BMP", bmp(16, 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F)), np.zeros((16, 16, 3))),
        ("OS/2 BMP", bmp(24, header=64), np.zeros((16, 16, 3))),
        ("32-bit BMP", bmp(32), np.zeros((16, 16, 3))),
        (
            "float predictor",
            tiff_bytes(FLOATS, photometric="rgb", compression="zlib", predictor=True),
            COLOUR,
        ),
    ):
        image = read_image(data, name=name)
        assert expected is None or np.array_equal(stored(image), expected), name


def test_a_palette_of_two_colours_is_expanded() -> None:
    bits = GRAY > 127
    palette = (0, 65_535, 25_700, 0, 0, 51_400)  # red of 0 and 1, green, blue
    data = patched_tiff(bits, 262, 3, extratags=[(320, "H", 6, palette, True)])
    image = read_image(data)
    assert image.notes == ("the palette is written as full colour",)
    assert np.array_equal(image.pixels, np.array([[0, 100, 0], [255, 0, 200]])[bits.astype(int)])


def test_pixels_that_spell_the_name_of_raw_files_are_read() -> None:
    pixels = np.full((16, 16), ord("C"), np.uint8)
    pixels[:, 1::2] = ord("R")
    image = read_image(tiff_bytes(pixels))
    again = read_image(encode_image(image.pixels, image))
    assert np.array_equal(to_8bit(again.pixels), pixels)
    with pytest.raises(ImageError, match="camera's raw file"):
        read_image(b"II*\0\x10\0\0\0CR\2\0" + bytes(64))
