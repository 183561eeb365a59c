"""Image files: what is converted on the way in, and nothing is ever half-written or lost."""

from __future__ import annotations

import io
import os
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import tifffile
from image_samples import pillow_bytes, random_samples, tiff_bytes
from PIL import Image

from denoise.errors import DamagedImageError, ImageError
from denoise.files.image_file import ImageFile
from denoise.files.images import (
    check_readable,
    encode_image,
    read_image,
    write_image,
)
from denoise.files.samples import quantised


def pixels(*shape: int) -> np.ndarray:
    return random_samples("uint8", shape)


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("kind", ["gray", "colour"])
def test_palettes_become_full_colour(format_: str, kind: str) -> None:
    palette = Image.fromarray(pixels(9, 13, 3)).quantize(16)
    if kind == "gray":
        palette.putpalette([value for n in range(16) for value in [(n * 77) % 256] * 3])
    image = read_image(pillow_bytes(palette, format_))
    assert image.notes == ("the palette is written as full colour",)
    assert np.array_equal(image.pixels, palette.convert("L" if kind == "gray" else "RGB"))


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_of_png_becomes_an_alpha_channel(mode: str) -> None:
    source = Image.fromarray(pixels(9, 13, 3)).quantize(16).convert(mode)
    colour = source.getpixel((3, 4))
    data = pillow_bytes(source, "PNG", transparency=colour)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("LA" if mode == "L" else "RGBA"))
    image = read_image(data)
    assert "the transparent colour is written as an alpha channel" in image.notes
    assert np.array_equal(np.dstack([image.pixels, image.alpha]), expected)
    assert image.alpha is not None
    assert image.alpha[4, 3] == 0
    again = read_image(encode_image(image.pixels, image))
    assert again.notes == ()
    assert np.array_equal(again.alpha, image.alpha)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "PPM"])
def test_1_bit_becomes_gray(format_: str) -> None:
    source = Image.fromarray(pixels(9, 13)).convert("1")
    image = read_image(pillow_bytes(source, format_))
    assert image.notes[0].startswith("1-bit pixels are written as 8-bit")
    assert np.array_equal(image.pixels, 255.0 * np.asarray(source))


def test_odd_depths_are_stretched_to_whole_bytes() -> None:
    image = read_image(b"P2 3 1 1023 0 511 1023\n")
    assert image.notes == ("the range 0..1023 is written as 0..65535",)
    assert quantised(image.pixels, "uint16").tolist() == [[0, 32_735, 65_535]]
    for bits, sample_type in ((4, "uint8"), (12, "uint16")):
        deep = np.array([[0, 1, 2**bits - 1]], sample_type)
        image = read_image(packed_tiff(deep, bits))
        whole = np.iinfo(sample_type).max
        assert image.notes == (f"{bits}-bit pixels are written as {whole.bit_length()}-bit ones",)
        expected = np.rint(deep * (whole / (2**bits - 1)))
        assert np.array_equal(quantised(image.pixels, sample_type), expected)


def packed_tiff(array: np.ndarray, bits: int) -> bytes:
    """Samples of fewer bits than a byte holds, or than two do, in one row."""
    digits = "".join(f"{value:0{bits}b}" for value in array.ravel())
    strip = int(digits.ljust(-(-len(digits) // 8) * 8, "0"), 2).to_bytes(
        -(-len(digits) // 8), "big"
    )
    data = bytearray(tiff_bytes(np.frombuffer(strip, np.uint8)[None], metadata=None))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for code, value in ((256, array.size), (258, bits)):
            at = file.pages.first.tags[code].valueoffset
            data[at : at + 2] = value.to_bytes(2, "little")
    return bytes(data)


def test_gray_that_counts_from_white_is_turned_over() -> None:
    array = random_samples("uint16", (5, 6))
    image = read_image(tiff_bytes(array, photometric="miniswhite"))
    assert "counting from black" in image.notes[0]
    assert np.array_equal(quantised(image.pixels, "uint16"), 65_535 - array)


def test_previews_are_no_pages_and_stacks_without_directories_are_read() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(pixels(4, 4), subfiletype=1)
        writer.write(pixels(8, 8))
    assert np.array_equal(read_image(buffer.getvalue()).pixels, pixels(8, 8))
    samples = random_samples("uint8", (3, 9, 9))
    stack = tiff_bytes(samples, photometric="minisblack")
    first = read_image(stack, frame=1)
    assert 270 not in [tag.code for tag in first.metadata.tiff.tags]  # it describes three images
    flat = bytearray(stack)
    with tifffile.TiffFile(io.BytesIO(stack)) as file:
        end = file.pages.first.offset + 2 + 12 * len(file.pages.first.tags)
        last = file.pages.first.dataoffsets[0] + samples.nbytes - 1
    flat[end : end + 4] = bytes(4)
    for frame in (1, 2, 3):
        alone, among_pages = (read_image(data, frame=frame) for data in (bytes(flat), stack))
        assert np.array_equal(alone.pixels, among_pages.pixels)
    del flat[last:]
    with pytest.raises(DamagedImageError, match="truncated image file: image 3 is missing"):
        read_image(bytes(flat), frame=3)


def test_the_content_decides_what_is_read_and_the_name_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(pillow_bytes(pixels(6, 7, 3), "PNG"))
    image = read_image(path)
    assert (image.format, image.path) == ("PNG", path)
    write_image(tmp_path / "out.JPEG", image.pixels, like=image, overwrite=False)
    assert read_image(tmp_path / "out.JPEG").format == "JPEG"


def test_pixels_that_are_not_finite_are_counted() -> None:
    array = np.zeros((4, 5, 3), np.float32)
    assert ImageFile(Path("in"), array).find_non_finite() is None
    array[2, 3, 1] = np.nan
    array[2, 4] = np.inf
    found = read_image(tiff_bytes(array, photometric="rgb")).find_non_finite()
    assert found is not None
    assert (found.count, found.row, found.column) == (2, 2, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.png", "no such file"),
        ("folder.png", "cannot be read: Is a directory"),
        (f"{'a' * 300}.png", "cannot be read: File name too long"),
    ],
)
def test_files_that_cannot_be_read_are_refused_by_name(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    for read in (read_image, check_readable):
        with pytest.raises(ImageError) as caught:
            read(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {message}"


def test_a_device_is_refused_before_it_is_read() -> None:
    for read in (read_image, check_readable):
        with pytest.raises(ImageError, match=r"^/dev/zero: is a device, not a file; use - to read"):
            read(Path("/dev/zero"))


def test_a_pipe_with_a_name_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    data = pillow_bytes(pixels(60, 70, 3), "PNG")
    writer = Thread(target=path.write_bytes, args=(data,), daemon=True)
    writer.start()
    check_readable(path)
    assert np.array_equal(read_image(path).pixels, pixels(60, 70, 3))
    writer.join()
