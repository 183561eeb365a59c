"""Pixels that a file declares as missing or transparent stay as they are and are not measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import run_cli
from image_samples import pillow_bytes, tiff_bytes
from PIL import Image
from test_blank_areas import COLUMNS, DISK, ROWS, SIDE, noisy
from tifffile import TiffFile

from denoise.files.images import read_image
from denoise.files.samples import without_value

NODATA_TAG = 42_113


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
