"""Pixels that are no picture stay as they are, and hide no noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import run_cli
from image_samples import pillow_bytes, tiff_bytes
from PIL import Image, ImageDraw
from tifffile import TiffFile

from denoise import denoise_image
from denoise.files.images import read_image
from denoise.files.samples import to_8bit, without_value
from denoise.noise.blank import blank_areas, filled_in
from denoise.noise.clipping import unclipped_variance
from denoise.noise.estimate import measure_noise
from denoise.noise.photons import estimate_growth

SIDE = 96
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
DISK = np.hypot(ROWS - 47.5, COLUMNS - 47.5) < 34
NODATA_TAG = 42_113


def noisy(sigma: float = 20.0, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """A wavy picture with noise, whole gray levels."""
    rows, columns = np.mgrid[:side, :side]
    clean = 120 + 40 * np.sin(columns / 15) + 30 * np.cos(rows / 11)
    noise = sigma * np.random.default_rng(seed).standard_normal((side, side))
    return np.clip(np.rint(clean + noise), 2, 253)


def page(noise: float, *, paper: int, ink: int, lines: int = 16) -> np.ndarray:
    """A scanned page of text."""
    image = Image.new("L", (256, 256), paper)
    draw = ImageDraw.Draw(image)
    for row in range(10, 246, lines):
        draw.text((12, row), "The quick brown fox jumps 0123456789", fill=ink)
    values = np.asarray(image, np.float64)
    generator = np.random.default_rng(0)
    return to_8bit(values + noise * generator.standard_normal(values.shape))


@pytest.mark.parametrize(
    ("image", "blank"),
    [
        (np.where(DISK, noisy(), 0), ~DISK),
        (np.where(COLUMNS < 70, 255, noisy()), COLUMNS < 70),
        (np.pad(noisy(), 5), np.pad(np.zeros((SIDE, SIDE), bool), 5, constant_values=True)),
        (np.dstack([noisy(seed=n) for n in range(3)]), np.zeros((SIDE, SIDE), bool)),
        (np.full((SIDE, SIDE), 7.0), np.ones((SIDE, SIDE), bool)),
        (np.full((15, 40), 7.0), np.zeros((15, 40), bool)),
    ],
    ids=["field of view", "white part", "frame", "colour", "constant", "small"],
)
def test_blank_areas_are_found_to_the_pixel(image: np.ndarray, blank: np.ndarray) -> None:
    found = blank_areas(image.reshape(*image.shape[:2], -1))
    assert np.array_equal(found, blank)


@pytest.mark.parametrize("photons", [0.1, 1.0, 5.0])
def test_few_photons_and_clipped_noise_are_not_blank(photons: float) -> None:
    generator = np.random.default_rng(0)
    counts = generator.poisson(photons, (128, 128, 1)).astype(float)
    assert not blank_areas(counts).any()
    assert not blank_areas(np.clip(generator.normal(-1, 1, (128, 128, 1)), 0, None)).any()


def test_what_is_left_out_is_continued_by_local_means() -> None:
    image = (100.0 + COLUMNS)[..., None]
    hidden = COLUMNS >= 60
    filled = filled_in(np.where(hidden[..., None], -9999.0, image), hidden)
    assert np.array_equal(filled[~hidden], image[~hidden])
    assert filled[hidden].min() > 155 and filled[hidden].max() < 160
    assert not filled_in(np.full((4, 4, 1), np.nan), np.ones((4, 4), bool)).any()


@pytest.mark.parametrize("blank", [COLUMNS < 70, ~DISK], ids=["page", "field of view"])
@pytest.mark.parametrize("value", [0, 90, 255])
@pytest.mark.parametrize("kind", ["auto", "gaussian"])
def test_noise_is_measured_beside_blank_areas(blank: np.ndarray, value: int, kind: str) -> None:
    measured = measure_noise(np.where(blank, value, noisy()), kind)
    assert measured.noise is not None
    assert measured.noise.sigma == pytest.approx(20, rel=0.06)
    assert measured.doubt == ""


def test_blank_areas_come_back_as_they_were() -> None:
    image = np.where(DISK, noisy(), 3.0)
    result = denoise_image(image, 20, preset="fast").image
    assert (result[~DISK] == 3).all()
    assert (result[DISK] != image[DISK]).mean() > 0.99


@pytest.mark.parametrize("lines", [11, 16, 30])
def test_a_clean_page_is_left_alone_and_the_reason_is_said(lines: int) -> None:
    measured = measure_noise(page(0, paper=255, ink=0, lines=lines))
    assert measured.noise is None
    assert "nothing flat" in measured.doubt


@pytest.mark.parametrize(
    ("paper", "ink", "sigma"),
    [(255, 0, 2), (255, 0, 15), (240, 20, 5), (0, 255, 5), (0, 255, 15), (30, 220, 2)],
)
def test_the_noise_of_a_scanned_page(paper: int, ink: int, sigma: float) -> None:
    found = measure_noise(page(sigma, paper=paper, ink=ink)).noise
    assert found is not None
    assert found.sigma == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("end", [-1.0, 0.0, 0.7, 2.0])
def test_clipped_noise_has_the_variance_that_it_had_before(end: float) -> None:
    values = 3 * np.random.default_rng(0).standard_normal(10**6)
    clipped = np.minimum(values, 3 * end)
    found = unclipped_variance(3 * end - clipped.mean(), clipped.var())
    assert found == pytest.approx(9, rel=0.01)


def test_text_is_not_noise_that_grows_with_the_light() -> None:
    assert estimate_growth(page(5, paper=30, ink=220)) is None


def test_texture_without_flat_parts_is_doubted() -> None:
    grass = 60 * np.random.default_rng(0).random((SIDE, SIDE)) ** 3
    grass[1:] += grass[:-1]
    measured = measure_noise(grass + noisy(1))
    assert "no part of it is flat" in measured.doubt


def tiff(array: np.ndarray, nodata: str, **arguments: object) -> bytes:
    return tiff_bytes(
        array, extratags=[(NODATA_TAG, "s", 0, nodata, True)], metadata=None, **arguments
    )


@pytest.mark.parametrize(
    ("sample_type", "value", "text"),
    [
        ("float32", -9999, "-9999"),
        ("float32", np.nan, "nan"),
        ("float32", np.finfo("f4").min, "-3.40282346638529e+38"),
        ("float64", -1e308, "-1e+308"),
        ("int16", -32768, "-32768"),
        ("uint16", 0, "0"),
        ("uint8", 255, "255 "),
    ],
)
@pytest.mark.usefixtures("tiny_preset")
def test_pixels_without_data_stay_so_and_no_others_become_so(
    tmp_path: Path, sample_type: str, value: float, text: str
) -> None:
    void = ROWS + COLUMNS < 70
    array = np.where(void, value, np.clip(noisy(60), 2, 253)).astype(sample_type)
    path, output = tmp_path / "dem.tif", tmp_path / "out.tif"
    path.write_bytes(tiff(array, text))
    code, stdout, stderr = run_cli(str(path), "-o", str(output), "--json")
    assert code == 0, stderr
    scale = 1 if sample_type[0] == "f" else 255 / np.iinfo(sample_type).max
    assert json.loads(stdout)["sigma"] == pytest.approx(60 * scale, rel=0.1)
    with TiffFile(output) as file:
        result = file.asarray()
        assert file.pages[0].tags[NODATA_TAG].value.strip() == text.strip()
    same = np.isnan(result) if np.isnan(value) else result == np.asarray(value, sample_type)
    assert np.array_equal(same, void)
    assert np.abs(result[~void].astype(float) - 120).max() < 150


def test_a_value_for_missing_data_in_one_channel_of_a_colour_is_a_colour() -> None:
    array = np.dstack([noisy(seed=n) for n in range(3)]).astype(np.uint8)
    array[:8, :, 0] = 0
    array[40:60, 20:50] = 0
    void = read_image(tiff(array, "0", photometric="rgb")).void
    assert void is not None
    assert np.array_equal(void, (array == 0).all(2))
    floats = array.astype(np.float32)
    void = read_image(tiff(floats, "0", photometric="rgb")).void
    assert void is not None
    assert np.array_equal(void, (floats == 0).any(2))


def test_valid_samples_move_away_from_the_value_for_missing_data() -> None:
    samples = np.array([[0, 1, 254, 255]], np.uint8)
    nowhere = np.zeros((1, 4), bool)
    assert without_value(samples, 0, nowhere).tolist() == [[1, 1, 254, 255]]
    assert without_value(samples, 255, None).tolist() == [[0, 1, 254, 254]]
    assert without_value(samples, 0, ~nowhere).tolist() == samples.tolist()
    for harmless in (None, np.nan, -9999, 0.5):
        assert without_value(samples, harmless, nowhere) is samples
    near = without_value(np.array([[-9999.0, 0.0]], np.float32), -9999, None)
    assert near[0, 0] != -9999 and near[0, 0] == pytest.approx(-9999)
    assert without_value(np.zeros((1, 1), np.float32), 0, None)[0, 0] > 0


@pytest.mark.usefixtures("tiny_preset")
def test_values_that_are_expanded_are_no_longer_what_the_tag_says(tmp_path: Path) -> None:
    path = tmp_path / "inverted.tif"
    array = np.where(COLUMNS < 30, 0, noisy()).astype(np.uint8)
    path.write_bytes(tiff(array, "0", photometric="miniswhite"))
    code, stdout, _ = run_cli(str(path), "--sigma", "20", "--json")
    assert code == 0
    assert "the tag with the value of missing data is left out" in json.loads(stdout)["notes"]
    with TiffFile(tmp_path / "inverted_denoised.tif") as file:
        assert NODATA_TAG not in file.pages[0].tags
        assert (file.asarray()[COLUMNS < 30] == 255).all()


@pytest.mark.usefixtures("tiny_preset")
def test_other_formats_have_no_place_for_it(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    path.write_bytes(tiff(np.where(DISK, 0, noisy()).astype(np.uint8), "0"))
    code, stdout, _ = run_cli(str(path), "-o", str(tmp_path / "map.png"), "--json")
    assert code == 0
    assert "PNG has no place for the value of missing data" in json.loads(stdout)["notes"][0]


@pytest.mark.usefixtures("tiny_preset")
def test_transparent_pixels_stay_and_do_not_count(tmp_path: Path) -> None:
    colours = np.dstack([noisy(seed=n) for n in range(3)]).astype(np.uint8)
    alpha = np.where(DISK, 255, 0).astype(np.uint8)
    colours[alpha == 0] = 9
    path, output = tmp_path / "cutout.png", tmp_path / "out.png"
    path.write_bytes(pillow_bytes(np.dstack([colours, alpha]), "PNG"))
    clean = tmp_path / "clean.png"
    clean.write_bytes(pillow_bytes(np.dstack([colours // 2, alpha]), "PNG"))
    code, stdout, _ = run_cli(str(path), "-o", str(output), "--json", "--reference", str(clean))
    assert code == 0
    report = json.loads(stdout)
    assert report["sigma"] == pytest.approx(20, rel=0.06)
    result = np.asarray(Image.open(output))
    assert (result[alpha == 0] == [9, 9, 9, 0]).all()
    error = np.mean((colours[DISK].astype(float) - colours[DISK] // 2) ** 2)
    assert report["psnr_noisy"] == pytest.approx(10 * np.log10(255**2 / error))
    assert report["ssim"] is None


def test_an_image_that_is_transparent_everywhere_is_a_picture() -> None:
    colours = np.dstack([noisy(seed=n) for n in range(3)] + [0 * noisy()]).astype(np.uint8)
    assert read_image(pillow_bytes(colours, "PNG")).void is None


@pytest.mark.usefixtures("tiny_preset")
def test_missing_pixels_that_a_file_declares_are_filled_in_only_if_told(tmp_path: Path) -> None:
    array = noisy().astype(np.float32)
    array[40:44, 50:54] = np.nan
    path, output = tmp_path / "dem.tif", tmp_path / "out.tif"
    path.write_bytes(tiff(array, "nan"))
    for options, left in (((), 16), (("--fill-missing", "--overwrite"), 0)):
        assert run_cli(str(path), "-o", str(output), "--sigma", "20", *options)[0] == 0
        with TiffFile(output) as file:
            assert np.isnan(file.asarray()).sum() == left


@pytest.mark.parametrize("options", [(), ("--sigma", "20")])
@pytest.mark.parametrize(("value", "text"), [(-9999, "-9999"), (np.nan, "nan")])
def test_an_empty_tile_of_a_map_comes_back_as_it_is(
    tmp_path: Path, value: float, text: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "empty.tif"
    path.write_bytes(tiff(np.full((SIDE, SIDE), value, np.float32), text))
    code, stdout, stderr = run_cli(str(path), "--json", *options)
    assert code == 0, stderr
    assert json.loads(stdout)["notes"] == ["it holds no data at all; written as it is"]
    with TiffFile(tmp_path / "empty_denoised.tif") as file:
        assert np.array_equal(file.asarray(), np.full((SIDE, SIDE), value), equal_nan=True)
