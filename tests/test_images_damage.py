"""Damaged and unusable files: one line each, never another exception, a hang or a full memory."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_samples import (
    image_file,
    npy_bytes,
    pillow_bytes,
    random_samples,
    rewritten,
    tiff_bytes,
)
from PIL import Image
from tifffile import TiffFile

from denoise.errors import DamagedImageError, ImageError, OutputError
from denoise.files.formats import FORMATS
from denoise.files.image_file import ImageFile, Metadata, TiffLayout
from denoise.files.images import check_writable, encode_image, read_image
from denoise.files.samples import to_pixels

resource = pytest.importorskip("resource", reason="the memory used can be measured on Unix only")
GENEROUS = 2**18  # pixels; more would only make the tests slow
MEMORY = 200_000 * (1024 if sys.platform == "darwin" else 1)  # 200 MB in the system's units


def pages(format_: str, count: int = 3) -> bytes:
    frames = [Image.fromarray(random_samples("uint8", (12, 10, 3), n)) for n in range(count)]
    return pillow_bytes(frames[0], format_, save_all=True, append_images=frames[1:], lossless=True)


def valid_files() -> dict[str, bytes]:
    """A small file of every format, sample type and way to store it."""
    metadata = Metadata(
        exif=b"II*\0\x08\0\0\0\1\0\x0f\1\2\0\3\0\0\0ab\0\0\0\0\0\0",
        icc_profile=b"a profile",
        xmp=b"<x/>",
        dpi=(72, 72),
        text=(("Comment", "a comment"),),
    )
    files = {}
    for one in (one for one in FORMATS if not one.is_folder):
        for sample_type in sorted(one.sample_types):
            samples = random_samples(sample_type, (9, 7, 3))
            alpha = samples[..., 0] if one.alpha else None
            image = image_file(samples, alpha, format_=one.name, metadata=metadata)
            files[f"{one.name} {sample_type}"] = encode_image(image.pixels, image)
    deep = random_samples("uint16", (20, 30, 3))
    for codec in ("lzw", "zlib", "packbits", "zstd", "lzma"):
        files[f"TIFF {codec}"] = tiff_bytes(deep, compression=codec, tile=(16, 16))
    files["TIFF stack"] = tiff_bytes(random_samples("uint8", (3, 9, 9)), imagej=True)
    files["TIFF big"] = tiff_bytes(deep, bigtiff=True, byteorder=">")
    bilevel = Image.fromarray(random_samples("uint8", (20, 20))).convert("1")
    for codec in ("group3", "group4", "tiff_ccitt"):
        files[f"TIFF {codec}"] = pillow_bytes(bilevel, "TIFF", compression=codec)
    palette = Image.fromarray(random_samples("uint8", (9, 9, 3))).quantize(16)
    for format_ in ("PNG", "TIFF", "BMP"):
        files[f"{format_} palette"] = pillow_bytes(palette, format_)
    for format_ in ("PNG", "TIFF", "WEBP"):
        files[f"{format_} pages"] = pages(format_)
    stack = npy_bytes(random_samples("int16", (3, 40, 50)))
    files["NPY stack"], files["FITS stack"] = stack, rewritten(stack, suffix=".fits")
    files["PNM plain"] = b"P3 # three\n2 1 100\n1 2 3 4 5 100\n"
    files["PNM bits"] = b"P1\n3 2\n101\n010\n"
    return files


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """Cut off, changed in a few places, or both."""
    kind = generator.integers(4)
    changed = bytearray(data)
    if kind == 0:
        return data[: generator.integers(len(data))]
    reach = min(len(data), 120) if kind == 1 else len(data)
    for place in generator.integers(0, reach, generator.integers(1, 6)):
        changed[place] = generator.choice([0, 1, 127, 128, 255, generator.integers(256)])
    if kind == 3:
        place = generator.integers(len(changed))
        changed[place : place + generator.integers(9)] = generator.bytes(generator.integers(9))
    return bytes(changed)


@pytest.mark.parametrize("name", valid_files())
def test_damaged_files_are_read_or_refused_by_name(name: str, capfd) -> None:
    data, generator = valid_files()[name], np.random.default_rng(zlib.crc32(name.encode()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for number in range(100):
        frame = 1 if number % 2 else None
        try:
            image = read_image(
                damaged(data, generator), frame=frame, max_pixels=GENEROUS, name="an image"
            )
        except ImageError as error:
            assert str(error).startswith("an image: ")
            assert "\n" not in str(error)
            refused += 1
        else:
            assert image.pixels.ndim in (2, 3)
            assert image.alpha is None or image.alpha.shape == image.pixels.shape[:2]
    assert refused > 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [name for name in valid_files() if "pages" not in name])
def test_files_without_their_end_are_refused(name: str) -> None:
    data = valid_files()[name]
    read_image(data, frame=1)
    with pytest.raises(ImageError, match=r"^stdin: "):
        read_image(data[: len(data) * 3 // 5], frame=1)


def test_a_loop_of_pages_ends() -> None:
    data = bytearray(valid_files()["TIFF big"])
    offset = int.from_bytes(data[8:16], "big")
    count = int.from_bytes(data[offset : offset + 8], "big")
    end = offset + 8 + 20 * count
    data[end : end + 8] = offset.to_bytes(8, "big")
    with pytest.raises(ImageError, match="directories overlap"):
        read_image(bytes(data))


@pytest.mark.parametrize(
    "name",
    ["PNG uint16", "JPEG uint8", "TIFF zlib", "BMP uint8", "PNM plain", "NPY int16", "FITS int16"],
)
def test_the_limit_of_pixels_is_kept_before_anything_is_unpacked(name: str) -> None:
    data = valid_files()[name]
    with pytest.raises(ImageError, match=r"more than 1 pixels; cut it .* raise --max-pixels"):
        read_image(data, max_pixels=1)
    header = b"P5 60000 60000 255\n"
    with pytest.raises(ImageError, match="60000x60000 is more than 89478485 pixels"):
        read_image(header)
    with pytest.raises(ImageError, match="truncated image file: 0 of 3600000000 bytes"):
        read_image(header, max_pixels=2**40)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_one_of_several_images_is_chosen_from_1_on(format_: str) -> None:
    data = pages(format_)
    with pytest.raises(ImageError, match=r"holds 3 images; choose one with --frame, from 1 to 3"):
        read_image(data)
    for number in (1, 2, 3):
        image = read_image(data, frame=number)
        assert np.array_equal(image.pixels, random_samples("uint8", (12, 10, 3), number - 1))
    for number in (0, 4):
        with pytest.raises(ImageError, match=rf"has no frame {number}; --frame must lie in 1\.\.3"):
            read_image(data, frame=number)
    assert read_image(pages(format_, 1), frame=1).pixels.shape == (12, 10, 3)


def deep_animation() -> bytes:
    deep = encode_image(np.zeros((4, 4)), image_file(np.zeros((4, 4), np.uint16)))
    control = b"acTL" + (2).to_bytes(4, "big") + bytes(4)
    chunk = (8).to_bytes(4, "big") + control + zlib.crc32(control).to_bytes(4, "big")
    return deep[:33] + chunk + deep[33:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello", "that can be read; expected PNG, JPEG, TIFF, WebP, BMP, PNM, NPY, FITS"),
        (pillow_bytes(Image.new("L", (4, 4)), "GIF"), "not an image that can be read"),
        (pillow_bytes(Image.new("CMYK", (4, 4)), "JPEG"), "colours are CMYK; convert"),
        (pillow_bytes(Image.new("CMYK", (4, 4)), "TIFF"), "colours are CMYK; convert"),
        (pillow_bytes(Image.new("LAB", (4, 4)), "TIFF"), "colours are CIELAB; convert"),
        (pillow_bytes(Image.new("RGB", (16, 16)), "TIFF", compression="jpeg"), "JPEG of TIFF"),
        (tiff_bytes(np.zeros((4, 4), np.uint32)), "32-bit type uint32 cannot be denoised"),
        (tiff_bytes(np.zeros((4, 4), np.int32)), "32-bit type int32 cannot be denoised"),
        (tiff_bytes(np.zeros((4, 4), np.complex64)), "64-bit type complex64 cannot be"),
        (tiff_bytes(np.zeros((4, 4, 5), np.uint8), planarconfig="contig"), "has 5 channels"),
        (tiff_bytes(np.full((4, 4), 1e39)), "too large for float32"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a camera's raw file; develop it"),
        (
            tiff_bytes(np.zeros((4, 4)), extratags=[(50_706, "B", 4, (1, 4, 0, 0), True)]),
            "raw file",
        ),
        (tiff_bytes(np.zeros((4, 4)), subfiletype=1), "holds only previews"),
        (tiff_bytes(np.zeros((20, 16, 16)), volumetric=True, tile=(16, 16, 16)), "a volume"),
        (deep_animation(), "16-bit animations cannot be read; save the frame on its own"),
        (b"P5 2 2 70000\n", "its largest value is 70000, not 1..65535"),
        (b"P2 2 1 7 8 1\n", "a value is above the largest one, 7"),
        (b"P5 1 1 9\n\1P5 1 1 9\n\1", "holds several images"),
    ],
    ids=range(20),
)
def test_images_of_other_kinds_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_image(data, name="photo")
    assert str(caught.value).startswith("photo: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sample_type", "alpha", "message"),
    [
        ("a.jpg", "uint8", True, "JPEG holds no alpha channel; use .png or .tif or .webp"),
        ("a.pgm", "uint8", True, "PNM holds no alpha channel; use .png or .tif or .webp or .bmp"),
        ("a.ppm", "uint16", True, "PNM holds no alpha channel; use .png or .tif"),
        ("a.jpeg", "uint16", False, "JPEG holds no uint16 pixels; use .png or .tif or .pgm"),
        ("a.webp", "uint16", True, "WebP holds no uint16 pixels; use .png or .tif"),
        ("a.png", "float32", False, "PNG holds no float32 pixels; use .tif"),
        ("a.png", "int16", False, "PNG holds no int16 pixels; use .tif"),
        ("a.fits", "float16", False, "FITS holds no float16 pixels; use .tif or .npy"),
        ("a.fits", "uint8", True, "FITS holds no alpha channel; use .png or .tif or .webp"),
        ("a.gif", "uint8", False, "unknown file type '.gif'; use one of .png"),
    ],
)
def test_a_format_that_cannot_hold_the_image_is_refused_early(
    name: str, sample_type: str, alpha: bool, message: str
) -> None:
    samples = random_samples(sample_type, (4, 5, 3))
    image = image_file(samples, samples[..., 0] if alpha else None)
    with pytest.raises(OutputError, match=message) as caught:
        check_writable(Path(name), image)
    assert str(caught.value).startswith(f"{name}: ")


def test_what_fits_is_not_refused_and_what_is_too_long_is() -> None:
    samples = random_samples("uint16", (4, 5, 3))
    check_writable(Path("a.png"), image_file(samples, samples[..., 0]))
    floats = np.full((4, 5), np.nan, np.float32)
    check_writable(Path("a.tif"), image_file(floats, metadata=Metadata(tiff=TiffLayout())))
    wide = ImageFile(Path("in"), np.zeros((1, 20_000), np.float32))
    with pytest.raises(OutputError, match="WebP holds at most 16383 rows and columns"):
        check_writable(Path("a.webp"), wide)
    long = image_file(samples.astype(np.uint8), metadata=Metadata(exif=bytes(70_000)))
    with pytest.raises(OutputError, match=r"a\.jpg: 70006 bytes of metadata are too long for"):
        check_writable(Path("a.jpg"), long)
    check_writable(Path("a.jpg"), long, strip=True)


def with_tag(data: bytes, code: int, value: int) -> bytes:
    """A small TIFF file of this machine's byte order with another value of a SHORT tag."""
    with TiffFile(io.BytesIO(data)) as file:
        place = file.pages.first.tags[code].valueoffset
    return data[:place] + struct.pack("<H", value) + data[place + 2 :]


def test_an_unknown_order_of_channels_is_damage() -> None:
    data = tiff_bytes(np.zeros((9, 7, 3), np.uint8), photometric="rgb")
    assert read_image(data).pixels.shape == (9, 7, 3)
    with pytest.raises(DamagedImageError, match="no order of channels 256"):
        read_image(with_tag(data, 284, 256))


@pytest.mark.parametrize("sample_type", ["uint8", "int16", "float16", "float64"])
def test_damaged_lzw_is_an_error_and_does_not_end_the_process(sample_type: str) -> None:
    samples = np.random.default_rng(0).integers(0, 90, (9, 7)).astype(sample_type)
    data = tiff_bytes(samples, compression="lzw")
    with TiffFile(io.BytesIO(data)) as file:
        start = file.pages.first.dataoffsets[0]
        assert np.array_equal(read_image(data).pixels, to_pixels(samples))
    # A code without an entry after the one that clears the table.
    with pytest.raises(DamagedImageError):
        read_image(data[:start] + b"\x80\x60\x20\x50" + data[start + 4 :])


def bigtiff(width: int, height: int, tags: int) -> bytes:
    """The header of a BigTIFF file with further tags, and no pixels."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 1)] + [(40_000 + n % 20_000, 3, 1, 7) for n in range(tags)]
    start = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", len(entries))
    return start + b"".join(struct.pack("<HHQQ", *entry) for entry in entries) + bytes(8)


def test_a_million_tags_are_refused_at_once() -> None:
    with pytest.raises(DamagedImageError, match="a directory has 1000005 tags"):
        read_image(bigtiff(8, 8, 10**6))
    with pytest.raises(DamagedImageError, match="missing data"):
        read_image(bigtiff(8, 8, 1000))


@pytest.mark.parametrize(("width", "height"), [(2**31, 2**31), (2**32 - 1, 1)])
def test_gigantic_sizes_are_refused_by_the_header(width: int, height: int) -> None:
    with pytest.raises(ImageError, match="more than 89478485 pixels"):
        read_image(bigtiff(width, height, 0))
