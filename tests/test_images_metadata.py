"""Metadata comes out as it went in, and moves to another format as far as that holds it."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from image_samples import image_file, pillow_bytes, random_samples
from PIL import Image, PngImagePlugin, TiffImagePlugin

from denoise.files import ifd
from denoise.files.images import encode_image, read_image
from denoise.files.samples import quantised

PROFILE = bytes(range(256)) * 300  # two segments of a JPEG
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xc3\xbc</x:xmpmeta>"
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp"}


def exif() -> Image.Exif:
    block = Image.Exif()
    block[0x010F] = "a camera"
    block[0x0112] = 6  # turned by a quarter
    block.get_ifd(0x8769)[0x829A] = TiffImagePlugin.IFDRational(1, 250)
    block.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0a comment"
    block.get_ifd(0x8825)[2] = (47.0, 22.0, 30.0)
    return block


def source(format_: str, shape: tuple[int, ...] = (16, 12, 3)) -> bytes:
    arguments: dict[str, object] = {"icc_profile": PROFILE, "dpi": (300, 150)}
    match format_:
        case "PNG":
            text = PngImagePlugin.PngInfo()
            text.add_text("Author", "me")
            text.add_text("Description", "long " * 40, zip=True)
            text.add_itxt("Title", "Grün", "de", "Titel")
            text.add_itxt("XML:com.adobe.xmp", XMP.decode())
            text.add(b"gAMA", struct.pack(">I", 45_455))
            text.add(b"cHRM", struct.pack(">8I", *range(31_000, 31_008)))
            arguments |= {"exif": exif(), "pnginfo": text}
        case "JPEG":
            arguments |= {"exif": exif(), "xmp": XMP, "comment": "Grün".encode()}
        case "WEBP":
            arguments |= {"exif": exif(), "xmp": XMP, "lossless": True}
        case "TIFF":
            tags = exif()
            tags[700], tags[315], tags[33_432], tags[42_113] = XMP, "me", "free", "0"
            arguments["exif"] = tags
    return pillow_bytes(random_samples("uint8", shape), format_, **arguments)


def rewritten(data: bytes, suffix: str | None = None, *, strip: bool = False) -> bytes:
    image = read_image(data)
    return encode_image(image.pixels, image, suffix, strip=strip)


def facts(data: bytes) -> dict[str, object]:
    """What Pillow finds in a file."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        known = dict(image.info)
        tags = image.getexif()
        found = {
            "profile": known.get("icc_profile"),
            "xmp": known.get("xmp"),
            "camera": tags.get(0x010F),
            "exposure": tags.get_ifd(0x8769).get(0x829A),
            "comment": tags.get_ifd(0x8769).get(0x9286),
            "place": tags.get_ifd(0x8825).get(2),
        }
        if image.format != "TIFF":  # where Pillow turns the pixels and drops the tag
            found["orientation"] = tags.get(0x0112)
        if "dpi" in known:
            found["dpi"] = tuple(round(float(value)) for value in known["dpi"])
        return found


@pytest.mark.parametrize("format_", SUFFIXES)
def test_a_file_of_the_same_format_says_the_same(format_: str) -> None:
    data = source(format_)
    assert facts(data)["camera"] == (None if format_ == "BMP" else "a camera")
    assert facts(rewritten(data)) == facts(data)
    before, after = (read_image(d).metadata for d in (data, rewritten(data)))
    assert replace(after, jpeg_tables=()) == replace(before, jpeg_tables=())


@pytest.mark.parametrize("target", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_another_format_gets_exif_profile_xmp_and_resolution(format_: str, target: str) -> None:
    before, after = (
        facts(d) for d in (source(format_), rewritten(source(format_), SUFFIXES[target]))
    )
    if "WEBP" in (format_, target):  # which holds no resolution
        before.pop("dpi", None), after.pop("dpi", None)
    before["orientation"] = after["orientation"] = 6
    assert after == before


def test_a_resolution_moves_to_and_from_bmp() -> None:
    for format_ in ("PNG", "JPEG", "TIFF"):
        assert facts(rewritten(source(format_), ".bmp"))["dpi"] == (300, 150)
        assert facts(rewritten(source("BMP"), SUFFIXES[format_]))["dpi"] == (300, 150)


def test_pixels_are_not_turned_and_the_tag_stays() -> None:
    data = source("TIFF")
    for suffix in (".tif", ".png"):
        image = read_image(rewritten(data, suffix))
        assert np.array_equal(
            quantised(image.pixels, "uint8"), random_samples("uint8", (16, 12, 3))
        )
    with tifffile.TiffFile(io.BytesIO(rewritten(data))) as file:
        assert file.pages.first.tags[274].value == 6
    with tifffile.TiffFile(io.BytesIO(rewritten(source("JPEG"), ".tif"))) as file:
        assert file.pages.first.tags[274].value == 6


def test_every_png_chunk_that_stays_true_is_kept_byte_by_byte() -> None:
    def chunks(data: bytes) -> dict[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        place = 8
        while place < len(data):
            length, kind = struct.unpack_from(">I4s", data, place)
            content = data[place + 8 : place + 8 + length]
            assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(
                kind + content
            )
            found.setdefault(kind, []).append(content)
            place += 12 + length
        return found

    deep = encode_image(np.zeros((16, 12, 3)), image_file(random_samples("uint16", (16, 12, 3))))
    eight = source("PNG")
    spliced = eight[8 + 25 : eight.index(b"IDAT") - 4]  # every chunk between header and pixels
    extra = b"".join(
        struct.pack(">I", 2) + kind + b"\1\2" + struct.pack(">I", zlib.crc32(kind + b"\1\2"))
        for kind in (b"prVw", b"unSF", b"sBIT", b"cICP")
    )
    data = deep[: 8 + 25] + spliced + extra + deep[8 + 25 :]
    before, after = chunks(data), chunks(rewritten(data))
    assert {b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"iCCP", b"pHYs", b"eXIf"} <= set(before)
    # An unknown one whose name says that it depends on the pixels, and the depth before denoising.
    assert set(before) - set(after) == {b"unSF", b"sBIT"}
    del before[b"unSF"], before[b"sBIT"], before[b"IDAT"], after[b"IDAT"]
    assert after == before


def test_tiff_tags_are_kept_byte_by_byte_in_both_byte_orders() -> None:
    for order in "<>":
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            random_samples("uint16", (9, 9, 3)),
            photometric="rgb",
            byteorder=order,
            description="5 µm".encode(),
            software="a program",
            datetime="2020:01:02 03:04:05",
            resolution=((12_345, 67), (98_765, 43)),
            resolutionunit=3,
            extratags=[(33_550, "d", 3, (0.5, 0.25, 0.0), True), (40_001, "H", 2, (1, 2), True)],
            metadata=None,
        )
        data = buffer.getvalue()
        kept = {270, 305, 306, 282, 283, 296, 33_550, 40_001}
        before, after = (
            {t.code: t for t in ifd.read_directory(d) if t.code in kept}
            for d in (data, rewritten(data))
        )
        assert set(before) == kept
        assert after == before


def test_text_finds_a_place_in_other_formats() -> None:
    with Image.open(io.BytesIO(rewritten(source("JPEG"), ".png"))) as png:
        assert png.text["Comment"] == "Grün"
    with tifffile.TiffFile(io.BytesIO(rewritten(source("PNG"), ".tif"))) as file:
        tags = file.pages.first.tags
        assert tags[315].value == "me"
        assert tags[270].value.startswith("long long")
    comments = [
        content.decode()
        for marker, content in read_image(rewritten(source("PNG"), ".jpg")).metadata.jpeg_segments
        if marker == 0xFE
    ]
    assert comments[0] == "Author: me"
    assert comments[2] == "Title: Grün"


@pytest.mark.parametrize("format_", SUFFIXES)
def test_strip_leaves_nothing(format_: str) -> None:
    data = rewritten(source(format_), strip=True)
    assert not any(value for name, value in facts(data).items() if name != "dpi")
    assert b"me\0" not in data
    assert b"camera" not in data
    image = read_image(data)
    assert image.pixels.shape == (16, 12, 3)
    assert not image.metadata.exif
    assert image.metadata.dpi is None


def test_a_jpeg_keeps_its_density_in_centimetres_and_drops_what_points_elsewhere() -> None:
    plain = pillow_bytes(random_samples("uint8", (8, 8)), "JPEG")
    metric = plain[:13] + struct.pack(">BHH", 2, 118, 59) + plain[18:]
    further = b"\xff\xe2" + struct.pack(">H", 8) + b"MPF\0\0\0"
    captions = b"\xff\xed" + struct.pack(">H", 18) + b"Photoshop 3.0\0ab"
    image = read_image(metric[:20] + further + captions + metric[20:])
    assert image.metadata.dpi == pytest.approx((118 * 2.54, 59 * 2.54))
    assert image.notes == ("further pictures in the file (a preview, a depth map) are left out",)
    written = encode_image(image.pixels, image)
    assert written[: 20 + len(captions)] == metric[:20] + captions
    assert b"MPF" not in written
