"""FITS: pixels come out as they went in, and every other byte of the file; astropy agrees."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import step_image
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import image_file, random_samples, rewritten, stored

from denoise.cli.jobs import FileJob
from denoise.cli.one_file import denoise_file
from denoise.cli.settings import Settings
from denoise.files import fits as fits_format
from denoise.files.formats import BY_NAME, lost_metadata
from denoise.files.images import encode_image, read_image
from denoise.files.outputs import atomic_file
from denoise.files.series import SeriesWriter, open_series, series_format

astropy = pytest.importorskip("astropy", reason="needs astropy: pip install astropy")
from astropy.io import fits  # noqa: E402
from fits_samples import fits_bytes, opened, scaled, sky, table  # noqa: E402

TYPES = sorted(fits_format.SAMPLE_TYPES)
SHAPES = [(9, 7), (5, 9, 7), (2, 5, 9, 7), (1, 1, 9, 7), (60, 70)]


@settings(max_examples=20)
@given(st.sampled_from(TYPES), st.sampled_from(SHAPES), st.booleans(), st.booleans())
def test_files_come_out_byte_by_byte(sample_type, shape, first, followed) -> None:
    array = random_samples(sample_type, shape)
    units = [sky(array)] if first else [sky(None), sky(array, fits.ImageHDU)]
    units += [table(), sky(array[..., :4], fits.ImageHDU)] if followed else []
    data = fits_bytes(*units)
    assert rewritten(data) == data
    images = array.reshape(-1, *shape[-2:])
    image = read_image(data, frame=len(images))
    assert (image.sample_type, image.frames) == (sample_type, len(images))
    assert np.array_equal(stored(image), images[-1])


@settings(max_examples=20)
@given(st.sampled_from(TYPES), st.sampled_from(SHAPES), st.booleans())
def test_astropy_reads_new_pixels_with_all_cards(sample_type, shape, first) -> None:
    array = random_samples(sample_type, shape)
    data = fits_bytes(*([sky(array)] if first else [sky(None), sky(array, fits.ImageHDU)]), table())
    image = read_image(data, frame=1)
    darker = np.asarray(image.pixels, np.float64) / 2
    before, after = opened(data), opened(encode_image(darker, image))
    place = 0 if first else 1
    expected = array.reshape(-1, *shape[-2:])[0] / 2
    assert np.abs(after[place].data.squeeze() - expected).max() <= 0.5
    assert len(after) == len(before)
    several = {f"NAXIS{n}" for n in range(3, len(shape) + 1)} if image.frames > 1 else set()
    kept = [one for one in before[place].header.cards if one.keyword not in several]
    assert [one.keyword for one in after[place].header.cards] == [one.keyword for one in kept]
    changed = {"NAXIS"} if several else set()
    for old, new in zip(kept, after[place].header.cards, strict=True):
        if old.keyword not in changed | {"CHECKSUM", "DATASUM"}:
            assert str(new) == str(old)
        assert new.comment == old.comment


@pytest.mark.parametrize("sample_type", TYPES)
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3)])
def test_pixels_of_other_formats_become_fits(sample_type: str, shape: tuple[int, ...]) -> None:
    samples = random_samples(sample_type, shape)
    image = image_file(samples, format_="TIFF")
    data = encode_image(image.pixels, image, ".fits")
    (unit,) = opened(data)
    assert np.array_equal(unit.data, samples if len(shape) == 2 else np.moveaxis(samples, 2, 0))
    assert unit.data.dtype.name == sample_type
    assert np.array_equal(stored(read_image(data)), samples)
    assert rewritten(data) == rewritten(data, strip=True) == data


def test_strip_leaves_the_scale_and_nothing_else() -> None:
    array = random_samples("int16", (5, 9, 7))
    source = sky(array, fits.ImageHDU)
    source.header["BLANK"], source.header["BUNIT"] = -99, "adu"
    data = fits_bytes(sky(None), scaled(source), table())
    (unit,) = fits.open(io.BytesIO(rewritten(data, strip=True)), do_not_scale_image_data=True)
    assert np.array_equal(unit.data, array)
    names = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "BLANK", "BZERO", "BSCALE")
    assert list(unit.header) == ["SIMPLE", *names]


def test_numbers_of_another_scale_are_denoised_as_they_are_stored() -> None:
    for sample_type in ("uint8", "int16", "float32"):
        array = random_samples(sample_type, (9, 7))
        data = fits_bytes(scaled(sky(array)))
        assert np.array_equal(stored(read_image(data)), array)
        assert rewritten(data) == data


def test_pixels_without_data_are_no_picture() -> None:
    for sample_type, blank in (("int16", -7), ("uint16", 7), ("int8", -7), ("uint8", 7)):
        array = random_samples(sample_type, (9, 7))
        array[2, 3], array[4, 4] = blank, blank
        unit = sky(array)
        unit.header["BLANK"] = blank - unit.header.get("BZERO", 0)
        image = read_image(fits_bytes(unit))
        assert image.metadata.nodata == blank
        assert np.array_equal(image.void, array == blank)
        (note,) = (one for one in lost_metadata(BY_NAME["PNG"], image) if "missing" in one)
        assert "pixels without data will look like others" in note
        assert not any("missing" in one for one in lost_metadata(BY_NAME["FITS"], image))
    floats = random_samples("float32", (9, 7))
    floats[1, :] = np.nan
    image = read_image(fits_bytes(sky(floats)))
    assert np.array_equal(image.void, np.isnan(floats))
    assert image.find_non_finite() is None


def test_coordinates_are_lost_in_other_formats_only() -> None:
    image = read_image(fits_bytes(sky(random_samples("uint8", (9, 7)))))
    (note,) = lost_metadata(BY_NAME["PNG"], image)
    assert "PNG has no place for the coordinates of the FITS file" in note
    assert lost_metadata(BY_NAME["FITS"], image) == ()


@pytest.mark.parametrize(
    ("kinds", "axes"),
    [
        (("TIME", "WAVE-LOG"), (("W", 2), ("T", 5))),
        (("STOKES", "FREQ"), (("F", 2), ("C", 5))),
        (("UTC", "TIME"), (("I", 2), ("J", 5))),
        (("", "other"), (("I", 2), ("J", 5))),
        (("RGB", "TIME"), (("T", 2), ("I", 5))),  # not of three
    ],
)
def test_kinds_of_coordinates_name_axes(kinds: tuple[str, str], axes: tuple) -> None:
    unit = sky(random_samples("uint8", (2, 5, 9, 7)))
    unit.header["CTYPE3"], unit.header["CTYPE4"] = kinds
    with open_series(fits_bytes(unit)) as series:
        assert series.axes == axes
    image = read_image(fits_bytes(unit), frame=3)
    (alone,) = opened(encode_image(image.pixels, image))
    assert not {"CTYPE3", "CTYPE4", "NAXIS3"} & set(alone.header)
    assert alone.header["CTYPE2"] == "DEC--TAN"


@pytest.mark.parametrize("names", ["YXT", "TYX", "SYX", "YXS", "XYT"])
def test_axes_in_any_order_come_out_in_that_order(tmp_path: Path, names: str) -> None:
    array = random_samples("float32", tuple({"T": 5, "S": 3, "Y": 9, "X": 7}[n] for n in names))
    data = fits_bytes(sky(array), table())
    assert rewritten(data, names) == data
    (tmp_path / "in.fit").write_bytes(data)
    with (
        open_series(tmp_path / "in.fit", axes=names) as series,
        atomic_file(tmp_path / "out.fts") as file,
    ):
        form = series_format(tmp_path / "out.fts", series.read(0))
        writer = SeriesWriter(file, form, series.axes, strip=False)
        for number in range(len(series)):
            image = series.read(number)
            place = tuple(number if n == "T" else slice(None) for n in names)
            inner = names.replace("T", "")
            expected = array[place].transpose([inner.index(n) for n in "YXS" if n in inner])
            assert np.array_equal(stored(image), expected)
            writer.write(image)
    assert (tmp_path / "out.fts").read_bytes() == data


def test_images_that_are_divided_by_the_user_stay_one_array() -> None:
    data = fits_bytes(fits.PrimaryHDU(random_samples("int16", (12, 4, 6))))
    with open_series(data, axes="T6C2YX") as series:
        assert series.axes == (("T", 6), ("C", 2))
    assert rewritten(data, "T6C2YX") == data


def test_new_pixels_of_a_series_get_new_checksums() -> None:
    data = fits_bytes(sky(random_samples("float32", (5, 9, 7))), table())
    image = image_file(random_samples("float32", (9, 7), 1), format_="FITS")
    file = io.BytesIO()
    with open_series(data) as series:
        metadata = series.read(0).metadata
    image = image_file(stored(image), format_="FITS", metadata=metadata)
    writer = SeriesWriter(file, BY_NAME["FITS"], series.axes, strip=False)
    for _ in range(5):
        writer.write(image)
    first, _ = opened(file.getvalue())
    assert np.array_equal(first.data, np.stack([stored(image)] * 5))


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize("sample_type", ["float32", "uint16"])
def test_a_whole_run_changes_pixels_with_data_alone(tmp_path: Path, sample_type: str) -> None:
    generator = np.random.default_rng(0)
    clean = step_image() * (1 if sample_type == "float32" else 257)
    array = (
        (clean + generator.normal(0, 0.08 * clean.max(), clean.shape)).clip(1).astype(sample_type)
    )
    missing = np.zeros(array.shape, bool)
    missing[3:6, 8:20] = True
    array[missing] = np.nan if sample_type == "float32" else 0
    unit = sky(array, fits.ImageHDU)
    if sample_type == "uint16":
        unit.header["BLANK"] = -(2**15)
    unit.add_checksum()
    (tmp_path / "in.fits").write_bytes(fits_bytes(sky(None), unit, table()))
    denoise_file(FileJob(tmp_path / "in.fits", tmp_path / "out.fits"), Settings(device="cpu"))
    before, after = (opened((tmp_path / name).read_bytes()) for name in ("in.fits", "out.fits"))
    pixels = read_image(tmp_path / "out.fits")
    assert np.array_equal(pixels.void, missing)
    errors = [(one - clean)[~missing].std() for one in (array.astype(float), stored(pixels))]
    assert errors[1] < 0.85 * errors[0]
    texts = [
        [str(card) for card in units[1].header.cards if card.keyword not in ("CHECKSUM", "DATASUM")]
        for units in (before, after)
    ]
    assert texts[0] == texts[1]
