"""Rows of images that are read and written some at a time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from image_samples import pillow_bytes, random_samples, tiff_bytes

from denoise.errors import DamagedImageError, ImageError, OutputError
from denoise.files import tiff_writer
from denoise.files.images import read_image
from denoise.files.rows import open_rows, rows_format
from denoise.files.series import SeriesWriter

HEIGHT, WIDTH = 61, 50
# How tifffile stores pages.
STORED: dict[str, dict[str, Any]] = {
    "one strip": {"rowsperstrip": HEIGHT},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "zlib": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
    "zlib tiles": {"tile": (16, 16), "compression": "zlib"},
    "lzw": {"rowsperstrip": 7, "compression": "lzw"},
    "zstd": {"rowsperstrip": 5, "compression": "zstd"},
    "packbits": {"rowsperstrip": 9, "compression": "packbits"},
    "BigTIFF": {"bigtiff": True, "rowsperstrip": 4},
    "big endian": {"byteorder": ">", "rowsperstrip": 6},
    "nodata": {"extratags": [(42113, "s", 0, "7", True)], "rowsperstrip": 8},
    "white is 0": {"photometric": "miniswhite", "rowsperstrip": 8},
}
COLOURS = {"photometric": "rgb", "metadata": None}


def same_in_pieces(data: bytes, *, step: int = 13) -> None:
    """Read a file as a whole and in rows."""
    whole = read_image(data)
    with open_rows(data) as image:
        assert image.size == whole.pixels.shape[:2]
        assert image.description == whole.description
        for top in range(0, HEIGHT, step):
            rows = slice(top, min(top + step, HEIGHT))
            part, expected = image.rows(rows.start, rows.stop), whole.cut((rows, slice(0, WIDTH)))
            np.testing.assert_array_equal(part.pixels, expected.pixels)
            np.testing.assert_array_equal(part.picture, expected.picture)
            assert (part.alpha is None) == (expected.alpha is None)
            if part.alpha is not None:
                np.testing.assert_array_equal(part.alpha, expected.alpha)
            assert part.metadata == expected.metadata
            assert part.notes == expected.notes


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("sample_type", ["uint8", "uint16", "float32"])
def test_rows_of_a_tiff_are_those_of_the_whole(stored: str, sample_type: str) -> None:
    arguments = {"photometric": "minisblack", "resolution": (300, 300)} | STORED[stored]
    if sample_type == "float32":
        arguments |= {"predictor": None}
    same_in_pieces(tiff_bytes(random_samples(sample_type, (HEIGHT, WIDTH)), **arguments))


@pytest.mark.parametrize("stored", ["one strip", "strips", "tiles", "lzw", "zlib tiles"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [3, 4])
def test_rows_of_colours_are_those_of_the_whole(stored: str, planar: str, channels: int) -> None:
    samples = random_samples("uint8", (HEIGHT, WIDTH, channels))
    if planar == "separate":
        samples = np.moveaxis(samples, 2, 0).copy()
    same_in_pieces(tiff_bytes(samples, planarconfig=planar, **COLOURS, **STORED[stored]))


def test_bits_and_frames_are_read_in_rows() -> None:
    bits = random_samples("uint8", (HEIGHT, WIDTH)) > 100
    same_in_pieces(tiff_bytes(bits, photometric="minisblack"))
    for truncate in (False, True):
        stack = random_samples("uint16", (3, HEIGHT, WIDTH))
        data = tiff_bytes(stack, imagej=True, truncate=truncate)
        whole = read_image(data, frame=3)
        with open_rows(data, frame=3) as image:
            np.testing.assert_array_equal(image.rows(10, 20).pixels, whole.pixels[10:20])
        with pytest.raises(ImageError, match="choose one with --frame"), open_rows(data):
            pass


def test_other_formats_are_cut_from_memory() -> None:
    same_in_pieces(pillow_bytes(random_samples("uint8", (HEIGHT, WIDTH, 4)), "PNG"))


def test_a_file_that_breaks_off_is_named_when_its_rows_are_read() -> None:
    data = tiff_bytes(random_samples("uint8", (HEIGHT, WIDTH)), rowsperstrip=4)
    with open_rows(data[:-100]) as image:
        assert image.rows(0, 20).pixels.shape == (20, WIDTH)
        with pytest.raises(DamagedImageError, match="stdin: truncated image file: a strip"):
            image.rows(50, HEIGHT)


def test_more_than_max_pixels_is_refused() -> None:
    data = tiff_bytes(random_samples("uint8", (HEIGHT, WIDTH)))
    with open_rows(data, max_pixels=100) as image, pytest.raises(ImageError, match="--max-pixels"):
        image.rows(0, 1)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_what_is_written_in_rows_is_what_was_read(
    big: bool, compression: str | None, planar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = random_samples("uint16", (HEIGHT, WIDTH, 4))
    samples[..., 3:] |= 1  # nothing is transparent
    stored = np.moveaxis(samples, 2, 0).copy() if planar == "separate" else samples
    arguments = {"compression": compression, "planarconfig": planar, "software": "lab"}
    image = read_image(tiff_bytes(stored, **COLOURS, **arguments))
    monkeypatch.setattr(tiff_writer, "STRIP_BYTES", 5 * WIDTH * 8)
    if big:
        monkeypatch.setattr(tiff_writer, "LARGEST_FILE", samples.nbytes - 1)
    file = io.BytesIO()
    write = SeriesWriter(file, rows_format(None, image), (), strip=False, height=HEIGHT).write
    for top in range(0, HEIGHT, 7):
        write(image.cut((slice(top, top + 7), slice(0, WIDTH))))
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as written:
        page = written.pages.first
        assert (written.is_bigtiff, page.software, len(page.dataoffsets) > 10) == (big, "lab", True)
        np.testing.assert_array_equal(written.asarray(), stored)
    same_in_pieces(file.getvalue())


def test_formats_that_are_written_at_once_are_refused() -> None:
    image = read_image(tiff_bytes(random_samples("uint8", (HEIGHT, WIDTH))))
    with pytest.raises(
        OutputError, match=r"PNG is written at once; use \.tif or \.npy or \.fits for"
    ):
        rows_format(Path("a.png"), image)
    with pytest.raises(OutputError, match="unknown file type"):
        rows_format(Path("a.gif"), image)
