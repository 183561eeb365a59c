"""What goes in comes out: samples of every type and alpha, and other readers agree."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from image_samples import image_file, pillow_bytes, random_samples, tiff_bytes
from PIL import Image

from denoise.errors import ImageError
from denoise.files.formats import FORMATS
from denoise.files.image_file import Metadata, TiffLayout
from denoise.files.images import encode_image, read_image
from denoise.files.samples import join_alpha, quantised, to_pixels
from denoise.files.tiff import SAMPLE_TYPES

LOSSLESS = [one for one in FORMATS if one.name != "JPEG" and not one.is_folder]
SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))


@given(st.data(), SIZES, st.booleans(), st.booleans(), st.integers(0, 99))
@pytest.mark.parametrize("format_", LOSSLESS, ids=lambda one: one.name)
def test_lossless_formats_keep_every_bit(format_, data, size, colour, with_alpha, seed) -> None:
    sample_type = data.draw(st.sampled_from(sorted(format_.sample_types)))
    samples = random_samples(sample_type, (*size, 3) if colour else size, seed)
    alpha = random_samples(sample_type, size, seed + 1) if with_alpha and format_.alpha else None
    written = encode_image(to_pixels(samples), image_file(samples, alpha, format_=format_.name))
    image = read_image(written)
    assert (image.format, image.sample_type, image.notes) == (format_.name, sample_type, ())
    assert image.pixels.dtype == (np.float64 if sample_type == "float64" else np.float32)
    again = quantised(image.pixels, sample_type)
    without_gray = ("WebP",) if alpha is None else ("WebP", "BMP", "NPY")
    has_gray = format_.name not in without_gray
    if not has_gray and not colour:
        assert again.shape == (*size, 3)
        again = again[..., 0]
    assert np.array_equal(again, samples)
    if format_.name == "WebP" and alpha is not None and alpha.min() == 255:
        alpha = None  # which WebP leaves out
    assert (image.alpha is None) == (alpha is None)
    if alpha is not None:
        assert np.array_equal(image.alpha, alpha)
    if has_gray:
        assert encode_image(image.pixels, image) == written


@pytest.mark.parametrize("sample_type", ["uint8", "uint16", "int8", "int16"])
def test_every_integer_survives_float32(sample_type: str) -> None:
    limits = np.iinfo(sample_type)
    samples = np.arange(limits.min, limits.max + 1).astype(sample_type)
    pixels = to_pixels(samples)
    assert pixels.dtype == np.float32
    assert pixels[-1] == pytest.approx(255, abs=1e-4)
    assert np.array_equal(quantised(pixels, sample_type), samples)


def test_16_bit_files_hold_all_65536_values_of_every_channel() -> None:
    ramp = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    samples = np.stack([ramp, ramp[::-1], ramp.T], -1)
    for suffix in (".png", ".tif", ".ppm"):
        image = image_file(samples, None if suffix == ".ppm" else ramp)
        again = read_image(encode_image(image.pixels, image, suffix))
        assert np.array_equal(quantised(again.pixels, "uint16"), samples)
        assert again.alpha is None or np.array_equal(again.alpha, ramp)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e30])
def test_float64_comes_back_as_it_is(offset: float) -> None:
    samples = offset + np.random.default_rng(0).normal(1 / 3, 1e-3, (9, 7))
    image = read_image(tiff_bytes(samples))
    assert np.array_equal(image.pixels, samples)
    with tifffile.TiffFile(io.BytesIO(encode_image(image.pixels, image))) as file:
        assert np.array_equal(file.pages.first.asarray(), samples)


def test_float64_that_float32_cannot_tell_from_0_is_refused() -> None:
    with pytest.raises(ImageError, match="too small for float32; rescale"):
        read_image(tiff_bytes(random_samples("float64", (9, 7)) * 1e-60))
    assert not read_image(tiff_bytes(np.zeros((9, 7)))).pixels.any()


def test_values_are_rounded_and_clipped_not_wrapped() -> None:
    values = [-3.2, 0.4, 0.6, 254.6, 256.4, 1e9]
    assert quantised(values, "uint8").tolist() == [0, 0, 1, 255, 255, 255]
    assert quantised([-1.0, 128.0, 300.0], "uint16").tolist() == [0, 32_896, 65_535]
    assert quantised([-1e9, -255.0, 255.0], "int16").tolist() == [-32_768, -32_767, 32_767]
    assert quantised(values, "float64").tolist() == values


@given(st.sampled_from(sorted(SAMPLE_TYPES)), SIZES, st.integers(0, 3), st.data())
def test_tifffile_reads_every_layout_that_we_write(sample_type, size, kind, data) -> None:
    layout = TiffLayout(
        data.draw(st.sampled_from("<>")), data.draw(st.sampled_from([1, 5, 8])), kind % 2 == 1, 2
    )
    samples = random_samples(sample_type, (*size, 3) if kind > 1 else size)
    alpha = random_samples(sample_type, size, 1) if kind % 2 else None
    image = image_file(samples, alpha, format_="TIFF", metadata=Metadata(tiff=layout))
    written = encode_image(image.pixels, image)
    with tifffile.TiffFile(io.BytesIO(written)) as file:
        page = file.pages.first
        assert (file.byteorder, page.compression) == (layout.byte_order, layout.compression)
        assert list(page.extrasamples) == [2] * (alpha is not None)
        array = page.asarray()
    planar = layout.planar and alpha is not None
    assert np.array_equal(
        np.moveaxis(array, 0, -1) if planar else array, join_alpha(samples, alpha)
    )
    assert quantised(read_image(written).pixels, sample_type).tolist() == samples.tolist()


@given(st.sampled_from(sorted(SAMPLE_TYPES)), SIZES, st.sampled_from([1, 2, 3, 4]), st.data())
def test_every_layout_that_tifffile_writes_is_read(sample_type, size, channels, data) -> None:
    array = random_samples(sample_type, (*size, channels) if channels > 1 else size)
    photometric = "rgb" if channels > 2 else "minisblack"
    compression = data.draw(st.sampled_from([None, "lzw", "zlib", "packbits", "zstd", "lzma"]))
    arguments = {
        "photometric": photometric,
        "compression": compression,
        "predictor": data.draw(st.booleans()) and compression in ("lzw", "zlib"),
        "byteorder": data.draw(st.sampled_from("<>")),
        "bigtiff": data.draw(st.booleans()),
        "tile": data.draw(st.sampled_from([None, (16, 16)])),
        "rowsperstrip": data.draw(st.sampled_from([None, 3])),
        "extrasamples": [data.draw(st.sampled_from([0, 1, 2]))] if channels in (2, 4) else None,
        "metadata": None,
    }
    if channels > 2 and data.draw(st.booleans()):
        arguments["planarconfig"] = "separate"
        source = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    else:
        arguments["planarconfig"] = "contig" if channels > 1 else None
        source = array
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, source, **arguments)
    image = read_image(buffer.getvalue())
    assert image.sample_type == sample_type
    assert np.array_equal(join_alpha(quantised(image.pixels, sample_type), image.alpha), array)
    again = read_image(encode_image(image.pixels, image))
    assert np.array_equal(join_alpha(quantised(again.pixels, sample_type), again.alpha), array)
    assert again.metadata.tiff == image.metadata.tiff


@pytest.mark.parametrize(
    ("format_", "mode"),
    [
        *product(["PNG", "TIFF", "WEBP"], ["L", "LA", "RGB", "RGBA"]),
        *product(["BMP", "PPM"], ["L", "RGB"]),
    ],
)
def test_pillow_agrees_about_8_bits(format_: str, mode: str) -> None:
    shape = (11, 7, len(mode)) if len(mode) > 1 else (11, 7)
    array = random_samples("uint8", shape)
    source = read_image(pillow_bytes(array, format_, **({"lossless": True, "exact": True})))
    if format_ == "WEBP" and mode in ("L", "LA"):
        array = np.asarray(Image.fromarray(array).convert(mode.replace("L", "RGB")))
    assert np.array_equal(join_alpha(quantised(source.pixels, "uint8"), source.alpha), array)
    with Image.open(io.BytesIO(encode_image(source.pixels, source))) as written:
        assert np.array_equal(np.asarray(written), array)


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (1, 1, 3)])
def test_pillow_reads_the_alpha_channel_of_bmp(shape: tuple[int, ...]) -> None:
    samples, alpha = random_samples("uint8", shape), random_samples("uint8", shape[:2], 1)
    image = image_file(samples, alpha, format_="BMP", metadata=Metadata(dpi=(300, 150)))
    with Image.open(io.BytesIO(encode_image(image.pixels, image))) as written:
        assert written.mode == "RGBA"
        assert [round(value) for value in written.info["dpi"]] == [300, 150]
        colour = samples if samples.ndim == 3 else np.stack([samples] * 3, -1)
        assert np.array_equal(np.asarray(written), np.dstack([colour, alpha]))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_imagecodecs_agrees_about_deep_png(channels: int) -> None:
    array = random_samples("uint16", (11, 7, channels)).squeeze()
    image = read_image(bytes(imagecodecs.png_encode(array)))
    assert np.array_equal(join_alpha(quantised(image.pixels, "uint16"), image.alpha), array)
    written = encode_image(image.pixels, replace(image, metadata=Metadata()))
    assert np.array_equal(imagecodecs.png_decode(written), array)


@pytest.mark.parametrize("shape", [(32, 48), (32, 48, 3)])
def test_jpeg_loses_little_and_no_more_than_its_source(shape: tuple[int, ...]) -> None:
    smooth = np.add.outer(np.arange(32.0), np.arange(48.0)) * 2
    array = np.broadcast_to(smooth.reshape(32, 48, *[1] * (len(shape) - 2)), shape)
    first = read_image(encode_image(array, image_file(array.astype(np.uint8)), ".jpg"))
    assert first.pixels.shape == shape
    assert np.abs(first.pixels - array).max() < 6
    noise = random_samples("uint8", shape)
    errors = []
    for quality in (50, 95, 100):
        source = read_image(pillow_bytes(noise, "JPEG", quality=quality, subsampling=0))
        again = read_image(encode_image(source.pixels, source))
        errors.append(float(np.abs(again.pixels - source.pixels).mean()))
    assert errors[0] < 3
    assert errors[2] < 0.8


def test_the_documented_table_is_that_of_the_program() -> None:
    page = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.count(" | ") == 4][1:]
    documented = {
        row[0].removeprefix("| "): (tuple(row[1].split()), set(row[2].split()), row[3] == "yes")
        for row in rows
    }
    assert documented == {
        one.name: (one.suffixes, set(one.sample_types), one.alpha) for one in FORMATS
    }


@pytest.mark.parametrize(("sample_type", "width"), [("uint8", 1), ("uint8", 4), ("uint16", 2)])
def test_narrow_noise_grows_in_png_and_still_fits(sample_type: str, width: int) -> None:
    samples = random_samples(sample_type, (3000, width))
    image = read_image(encode_image(to_pixels(samples), image_file(samples), ".png"))
    assert np.array_equal(quantised(image.pixels, sample_type), samples)
