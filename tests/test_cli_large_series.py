"""Stacks of large images on the command line: each image in tiles, and some rows at a time."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from conftest import PROCESS_ENVIRONMENT, in_this_process, run_cli, step_image
from series_samples import SIGMA, report
from typer.testing import CliRunner
from zarr_samples import write_ome_zarr

from denoise.cli.main import app
from denoise.cli.series_parts import SeriesParts
from denoise.files.rows import open_rows
from denoise.files.samples import to_8bit
from denoise.files.series import Series, open_series
from denoise.files.tiff_rows import file_of_rows
from denoise.metrics import psnr
from denoise.pipeline.tiles import tiles_of

pytestmark = pytest.mark.usefixtures("tiny_preset")
SHAPE = (50, 64)
CORE, HALO = 32, 12
CLEAN = to_8bit(step_image(*SHAPE))
# Three times of two channels.
NOISY = to_8bit(CLEAN + np.random.default_rng(0).normal(0, 20, (3, 2, *SHAPE)))
QUICK = [*SIGMA, "--method", "blur"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with stacks whose images are large for small tiles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("denoise.cli.opened.STREAMED", 2000)
    monkeypatch.setattr("denoise.pipeline.tiles.PART_SIDE", 16)
    monkeypatch.setattr("denoise.cli.bands.tiles_of", partial(tiles_of, core=CORE, halo=HALO))
    tifffile.imwrite("stack.tif", NOISY, imagej=True, metadata={"axes": "TCYX", "unit": "um"})
    strips = {"rowsperstrip": 7, "compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite("pages.tif", NOISY[:, 0], **strips)


def test_each_image_is_as_if_denoised_alone_with_the_model_of_the_series() -> None:
    found = report("pages.tif", *SIGMA, "--save-model", "m.npz")
    assert (found["images"], found["tiles"], found["width"], found["height"]) == (3, 4, 64, 50)
    after = tifffile.imread("pages_denoised.tif")
    for number in (0, 2):
        tifffile.imwrite("alone.tif", NOISY[number, 0])
        again = report("alone.tif", *SIGMA, "--load-model", "m.npz", "--overwrite")
        assert again["tiles"] == 4
        np.testing.assert_array_equal(tifffile.imread("alone_denoised.tif"), after[number])
    assert psnr(CLEAN, after[1]) > psnr(CLEAN, NOISY[1, 0]) + 3


def test_images_that_are_read_at_once_are_the_same_in_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report("pages.tif", *SIGMA)
    for name, value in (("opened.STREAMED", 10**6), ("bands.tiles_of", None)):
        monkeypatch.setattr(f"denoise.cli.{name}", value)
    for name, value in (("tiles.LARGE", 2000), ("tiled.CORE", CORE), ("tiled.HALO", HALO)):
        monkeypatch.setattr(f"denoise.pipeline.{name}", value)
    found = report("pages.tif", *SIGMA, "-o", "at_once.tif")
    assert found["tiles"] == 4
    assert Path("at_once.tif").read_bytes() == Path("pages_denoised.tif").read_bytes()


def test_no_more_rows_are_read_than_a_tile_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def counted(*arguments: Any) -> tuple[bytes, int]:
        counts.append(arguments[4] - arguments[3])
        return file_of_rows(*arguments)

    monkeypatch.setattr("denoise.files.tiff_pages.file_of_rows", counted)
    monkeypatch.setattr("denoise.files.rows.PIECE", 10 * SHAPE[1])
    monkeypatch.setattr("denoise.cli.series_model.MOST_PIXELS", 3 * 24**2)
    monkeypatch.setattr(Series, "read", None)
    assert report("pages.tif", *QUICK, "--shard", "1/1")["images_left"] == 0
    assert report("pages.tif", *QUICK, "--skip-existing")["status"] == "skipped"
    assert max(counts) <= CORE + HALO < SHAPE[0]


def test_parts_that_are_killed_or_run_at_once_give_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_cli("pages.tif", *SIGMA, "-o", "alone.tif", "--save-model", "m.npz")[0] == 0
    part = ["pages.tif", *SIGMA, "-o", "out.tif", "--load-model", "m.npz", "--device", "cpu"]
    write, begun = SeriesParts.write, []

    def killed(self: SeriesParts, number: int, denoised: object) -> None:
        begun.append(number)
        if len(begun) == 2:  # in the middle of an image
            next(denoised)  # type: ignore[call-overload]
            raise KeyboardInterrupt
        write(self, number, denoised)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(SeriesParts, "write", killed)
        assert run_cli(*part, "--shard", "1/2")[0] == 130
    assert begun == [0, 2]
    listed = CliRunner().invoke(app, ["finish", *part]).stdout
    assert "images 2, 3 of it are not done" in listed
    for number in (2, 1):
        assert run_cli(*part, "--shard", f"{number}/2")[0] == 0
    assert Path("out.tif").read_bytes() == Path("alone.tif").read_bytes()
    monkeypatch.setattr("denoise.cli.batch.in_processes", in_this_process)
    assert run_cli(*part[:3], "-o", "jobs.tif", *part[5:], "--jobs", "2")[0] == 0
    assert Path("jobs.tif").read_bytes() == Path("alone.tif").read_bytes()


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".fits", ".zarr"])
def test_formats_give_the_same_pixels_and_keep_what_they_say(suffix: str) -> None:
    name = Path(f"in{suffix}")
    match suffix:
        case ".tif":
            name = Path("stack.tif")
        case ".npy":
            np.save(name, NOISY)
        case ".fits":
            fits.writeto(name, NOISY)
        case _:
            write_ome_zarr(name, NOISY, "tcyx", levels=((3, 2, 25, 32),))
    axes = ["--axes", "TCYX"] if suffix in (".npy", ".fits") else []
    assert report(str(name), *QUICK, *axes)["images"] == 6
    with open_series(name.with_stem(f"{name.stem}_denoised")) as series:
        assert series is not None
        found = np.stack([series.read(number).pixels for number in range(6)])
    for number in (0, 3):
        tifffile.imwrite("alone.tif", NOISY.reshape(-1, *SHAPE)[number])
        report("alone.tif", *QUICK, "--overwrite")
        np.testing.assert_array_equal(found[number], tifffile.imread("alone_denoised.tif"))
    if suffix == ".tif":
        with tifffile.TiffFile("stack_denoised.tif") as after:
            assert after.imagej_metadata is not None and after.imagej_metadata["unit"] == "um"
            assert (after.series[0].axes, after.series[0].shape) == ("TCYX", NOISY.shape)


def test_other_files_and_the_reference_go_with_it() -> None:
    tifffile.imwrite("clean.tif", np.stack([CLEAN] * 3), photometric="minisblack")
    files = ["--residual", "r.tif", "--uncertainty", "u.npy", "--reference", "clean.tif"]
    found = report("pages.tif", *SIGMA, "-o", "out.tif", *files)
    denoised, noisy = tifffile.imread("out.tif"), NOISY[:, 0]
    np.testing.assert_array_equal(tifffile.imread("r.tif"), noisy.astype(np.float32) - denoised)
    sigma = np.load("u.npy")
    assert sigma.shape == noisy.shape and (sigma > 0).all()
    assert found["psnr"] == pytest.approx(np.mean([psnr(CLEAN, image) for image in denoised]))
    assert found["psnr_noisy"] == pytest.approx(np.mean([psnr(CLEAN, image) for image in noisy]))
    assert found["ssim"] is None
    tifffile.imwrite("alone.tif", CLEAN)
    still = report("pages.tif", *QUICK, "--reference", "alone.tif")
    assert still["psnr_noisy"] == found["psnr_noisy"]


def test_each_image_may_have_its_own_model() -> None:
    stack = NOISY[:2, 0].copy()
    stack[1] = to_8bit(CLEAN + np.random.default_rng(1).normal(0, 8, SHAPE))
    tifffile.imwrite("unlike.tif", stack, photometric="minisblack")
    tifffile.imwrite("second.tif", stack[1])
    found = report("unlike.tif", "--model-per-frame")
    assert [round(one["sigma"] / 4) for one in found["noises"]] == [5, 2]
    assert report("second.tif")["sigma"] == found["noises"][1]["sigma"]
    expected, after = tifffile.imread("second_denoised.tif"), tifffile.imread("unlike_denoised.tif")
    np.testing.assert_array_equal(after[1], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--temporal", "1"],
            "holds images of 64x50 pixels, denoised some rows at a time, and --temporal needs"
            " whole ones; leave it out, or cut the images into smaller ones",
        ),
        (["--mask", "clean.tif"], "denoised some rows at a time, and --mask needs all of it"),
        (["--reference", "small.tif"], "the reference is 24x24 gray, but pages.tif: image 1 of 3"),
        (["--max-pixels", "3000"], "64x50 is more than 3000 pixels; cut it into smaller images"),
    ],
)
def test_what_needs_whole_images_is_refused_before_the_work(
    arguments: list[str], message: str
) -> None:
    tifffile.imwrite("clean.tif", CLEAN)
    tifffile.imwrite("small.tif", CLEAN[:24, :24])
    code, _, stderr = run_cli("pages.tif", *SIGMA, *arguments)
    assert (code, message in stderr.replace("\n", " ")) == (1, True), stderr
    assert not Path("pages_denoised.tif").exists()


def test_one_large_image_of_several_is_read_in_rows_whatever_its_axes() -> None:
    found = report("stack.tif", *QUICK, "--axes", "TC", "--frame", "3", "-o", "third.tif")
    assert (found["tiles"], found["images"]) == (4, None)
    with open_rows(Path("third.tif")) as third:
        assert third.all().pixels.shape == SHAPE


@pytest.mark.slow
def test_processes_that_load_zarr_leave_nothing_to_clean_up() -> None:
    write_ome_zarr(Path("in.zarr"), NOISY, "tcyx", levels=((3, 2, 25, 32),))
    command = [sys.executable, "-m", "denoise", "in.zarr", *QUICK, "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=PROCESS_ENVIRONMENT)
    assert (done.returncode, "leaked" in done.stderr) == (0, False), done.stderr
