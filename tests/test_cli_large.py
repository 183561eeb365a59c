"""Large images on the command line: in tiles, and some rows at a time."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from conftest import run_cli, step_image
from image_samples import pillow_bytes
from typer.testing import CliRunner
from zarr_samples import write_ome_zarr

from denoise.cli.main import app
from denoise.files.images import read_image
from denoise.files.samples import to_8bit
from denoise.metrics import psnr
from denoise.pipeline.tiles import tiles_of
from denoise.vae.saved import load_models

pytestmark = pytest.mark.usefixtures("tiny_preset")
SIGMA = ["--sigma", "20"]
SHAPE = (50, 64)
CLEAN = to_8bit(step_image(*SHAPE))
NOISY = to_8bit(CLEAN + np.random.default_rng(0).normal(0, 20, SHAPE))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with an image that is large for small tiles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("denoise.cli.opened.STREAMED", 2000)
    monkeypatch.setattr("denoise.cli.bands.tiles_of", partial(tiles_of, core=32, halo=12))
    tifffile.imwrite("large.tif", NOISY, rowsperstrip=7, software="lab", compression="zlib")
    tifffile.imwrite("clean.tif", CLEAN, tile=(16, 16))


def report(*arguments: str) -> dict[str, Any]:
    code, stdout, stderr = run_cli(*arguments, "--json")
    assert code == 0, stderr
    found: dict[str, Any] = json.loads(stdout)
    return found


def test_an_image_is_read_and_written_in_rows_with_all_that_its_file_says() -> None:
    found = report("large.tif", *SIGMA, "--reference", "clean.tif")
    assert (found["tiles"], found["width"], found["height"], found["sigma"]) == (4, 64, 50, 20)
    with tifffile.TiffFile("large_denoised.tif") as file:
        denoised, page = file.asarray(), file.pages.first
        assert (page.software, page.compression.name) == ("lab", "ADOBE_DEFLATE")
    assert (denoised.shape, denoised.dtype) == (SHAPE, np.uint8)
    assert found["psnr_noisy"] == pytest.approx(psnr(CLEAN, NOISY))
    assert found["psnr"] == pytest.approx(psnr(CLEAN, denoised))
    assert found["psnr"] > found["psnr_noisy"] + 3
    assert (found["ssim"], found["noises"], found["status"]) == (None, None, "done")
    code, stdout, _ = run_cli("large.tif", *SIGMA, "--overwrite")
    assert (code, "64x50 gray, in 4 tiles" in stdout) == (0, True)


def test_other_files_are_written_in_rows_too() -> None:
    files = ["--residual", "r.tif", "--uncertainty", "u.tif", "--save-model", "m.npz"]
    report("large.tif", "-o", "out.tif", *SIGMA, *files)
    denoised, removed, sigma = (tifffile.imread(name) for name in ("out.tif", "r.tif", "u.tif"))
    np.testing.assert_array_equal(removed, NOISY.astype(np.float32) - denoised)
    assert sigma.shape == SHAPE and (sigma > 0).all()
    assert len(load_models(Path("m.npz"), device="cpu")) == 1
    again = report("large.tif", "-o", "again.tif", *SIGMA, "--load-model", "m.npz")
    assert again["status"] == "done"
    np.testing.assert_array_equal(tifffile.imread("again.tif"), denoised)


@pytest.mark.parametrize("suffix", [".npy", ".fits", ".zarr"])
def test_other_formats_give_the_same_pixels_in_rows(suffix: str) -> None:
    quick = [*SIGMA, "--method", "nl-means"]
    name = Path(f"in{suffix}")
    match suffix:
        case ".npy":
            np.save(name, NOISY)
        case ".fits":
            fits.writeto(name, NOISY)
        case _:
            write_ome_zarr(name, NOISY, "yx", levels=((25, 32),))
    assert report("large.tif", *quick)["tiles"] == report(str(name), *quick)["tiles"] == 4
    expected, found = (
        tifffile.imread("large_denoised.tif"),
        read_image(Path(f"in_denoised{suffix}")),
    )
    np.testing.assert_array_equal(found.pixels, expected)
    assert report(str(name), *quick, "--skip-existing")["status"] == "skipped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--figure", "f.png"],
            "is 64x50 pixels, denoised some rows at a time, and --figure needs",
        ),
        (["--report", "pages"], "--report needs all of it; leave it out, or cut the image"),
        (["--mask", "clean.tif"], "--mask needs all of it"),
        (["--time-budget", "10s"], "--time-budget is about a whole image; choose a --preset"),
        (
            ["-o", "out.png"],
            "PNG is written at once; use .tif or .npy or .fits for an image as large",
        ),
        (["--residual", "r.webp"], "r.webp: WebP is written at once"),
        (["--max-pixels", "3000"], "64x50 is more than 3000 pixels; cut it into smaller images"),
        (["--reference", "small.tif"], "the reference is 24x24 gray, but large.tif is 64x50 gray"),
    ],
)
def test_what_needs_the_whole_image_is_refused_before_the_work(
    arguments: list[str], message: str
) -> None:
    tifffile.imwrite("small.tif", CLEAN[:24, :24])
    code, _, stderr = run_cli("large.tif", *SIGMA, *arguments)
    assert (code, message in stderr.replace("\n", " ")) == (1, True), stderr
    assert not Path("large_denoised.tif").exists()


def test_areas_without_data_stay_and_a_tile_without_any_is_no_obstacle() -> None:
    image = NOISY.astype(np.float32)
    image[:45, :45] = -9999
    tifffile.imwrite("map.tif", image, extratags=[(42113, "s", 0, "-9999", True)], rowsperstrip=4)
    report("map.tif", *SIGMA)
    after = tifffile.imread("map_denoised.tif")
    assert (after[:45, :45] == -9999).all()
    assert np.std((after - CLEAN)[45:]) < 0.7 * np.std((image - CLEAN)[45:])


def test_missing_pixels_are_filled_in() -> None:
    image = NOISY.astype(np.float32)
    image[20:23, 40:44] = np.nan
    tifffile.imwrite("holes.tif", image, rowsperstrip=4)
    code, _, stderr = run_cli("holes.tif", *SIGMA)
    assert (code, "use --fill-missing" in stderr) == (1, True)
    report("holes.tif", *SIGMA, "--fill-missing")
    assert np.isfinite(tifffile.imread("holes_denoised.tif")).all()


def test_without_noise_an_image_is_written_as_it_is() -> None:
    found = report("large.tif", "--sigma", "0")
    assert (found["sigma"], found["tiles"]) == (0, 4)
    np.testing.assert_array_equal(tifffile.imread("large_denoised.tif"), NOISY)


def test_a_result_that_is_there_is_skipped_and_one_of_another_image_refused() -> None:
    finish = partial(CliRunner().invoke, app, ["finish", "large.tif"])
    assert finish().exit_code == 1
    report("large.tif", *SIGMA)
    assert report("large.tif", *SIGMA, "--skip-existing")["status"] == "skipped"
    assert finish().exit_code == 0
    tifffile.imwrite("large_denoised.tif", CLEAN[:24])
    code, _, stderr = run_cli("large.tif", *SIGMA, "--skip-existing")
    assert (code, "is 64x24 gray, no result of 64x50 gray" in stderr) == (1, True), stderr


def test_a_damaged_result_is_made_anew() -> None:
    report("large.tif", *SIGMA)
    whole = Path("large_denoised.tif").read_bytes()
    Path("large_denoised.tif").write_bytes(_with_broken_rows("large_denoised.tif"))
    assert report("large.tif", *SIGMA, "--skip-existing")["status"] == "done"
    assert Path("large_denoised.tif").read_bytes() == whole


def _with_broken_rows(path: str) -> bytes:
    """A file whose pixels cannot be unpacked."""
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]  # type: ignore[union-attr]
    broken = bytearray(Path(path).read_bytes())
    broken[start : start + 40] = bytes(40)
    return bytes(broken)


def test_colours_alpha_and_other_methods_go_through() -> None:
    colours = np.dstack([NOISY, NOISY // 2, 255 - NOISY, np.full_like(NOISY, 200)])
    tifffile.imwrite("rgba.tif", colours, photometric="rgb", rowsperstrip=9)
    found = report("rgba.tif", *SIGMA, "--method", "nl-means")
    assert (found["channels"], found["tiles"], found["model"]) == (3, 4, "nl-means")
    after = tifffile.imread("rgba_denoised.tif")
    assert (after[..., 3] == 200).all()
    assert np.std(after[..., 0] - CLEAN.astype(float)) < 0.8 * np.std(NOISY - CLEAN.astype(float))


def test_images_in_memory_are_denoised_in_tiles_with_all_that_goes_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("denoise.pipeline.tiles.LARGE", 2000)
    Path("photo.png").write_bytes(pillow_bytes(NOISY, "PNG"))
    found = report("photo.png", *SIGMA, "--figure", "f.png", "--report", "pages")
    assert (found["tiles"], found["status"]) == (1, "done")
    assert found["learned_sigma"] is not None and Path("f.png").exists()
    assert report("photo.png", "-o", "b.png", *SIGMA, "--time-budget", "9s")["tiles"] is None
    Path("filled.png").write_bytes(pillow_bytes(np.where(NOISY > 250, 255, 0).astype("u1"), "PNG"))
    filled = report("photo.png", "-o", "c.png", "--sigma", "0", "--mask", "filled.png")
    assert filled["tiles"] is None
