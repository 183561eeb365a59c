"""Noise on the command line: what is found, measured once for a series, and filled in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import run_cli, step_image
from image_samples import image_file, tiff_bytes
from test_spectrum import smooth_noise
from typer.testing import CliRunner

from denoise.cli.file_noise import FEW_STEPS, rounding_notes
from denoise.cli.main import app
from denoise.files.images import read_image, write_image
from denoise.files.samples import step_of
from denoise.noise.gaussian import GaussianNoise

QUICK = ("--preset", "fast", "--epochs", "2", "--training-patches", "1024")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image(Path("flat.png"), 120 + 9 * smooth_noise((96, 96), 1), overwrite=False)
    rows, columns = np.mgrid[:64, :64]
    clean = 40.0 + 120 * (columns > 30) + rows / 2
    write_image(Path("clean.png"), clean, overwrite=False)
    write_image(Path("noisy.png"), clean + 9 * smooth_noise((64, 64), 2), overwrite=False)
    return tmp_path


def measure(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `denoise noise`."""
    result = CliRunner().invoke(app, ["noise", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_noise_is_measured_once_and_used_for_a_series() -> None:
    code, stdout, stderr = measure("flat.png", "-o", "camera.json")
    assert (code, stderr) == (0, "")
    assert stdout.startswith("flat.png: sigma ")
    assert stdout.endswith(" of 255, correlated over 2 pixels\n")
    saved = json.loads(Path("camera.json").read_text())
    assert (saved["noise"], saved["units"]) == ("coloured", "0..255")
    assert json.loads(measure("flat.png", "--json")[1]) == saved
    code, stdout, _ = run_cli(
        "noisy.png", "--noise", "camera.json", "--reference", "clean.png", "--json", *QUICK
    )
    assert code == 0
    report = json.loads(stdout)
    assert report["sigma_source"] == "given"
    assert report["coloured"]["covariances"] == saved["covariances"]
    assert report["sigma"] == pytest.approx(9, rel=0.08)
    assert report["psnr"] > report["psnr_noisy"] + 4


def test_a_file_that_exists_is_not_replaced() -> None:
    Path("camera.json").write_text("mine")
    code, stdout, stderr = measure("flat.png", "-o", "camera.json")
    assert (code, stdout) == (1, "")
    assert stderr.startswith("error: camera.json: exists already; use --overwrite")
    assert Path("camera.json").read_text() == "mine"
    assert measure("flat.png", "-o", "camera.json", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.png",), "none.png: no such file"),
        (("clean.png",), "clean.png: there is no noise to speak of"),
        (("flat.png", "-o", "camera.txt"), "unknown file type '.txt'; use one of .json"),
    ],
)
def test_what_cannot_be_measured_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    code, stdout, stderr = measure(*arguments)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("error: ") and message in stderr and stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("noisy.png", "--noise", "none.json"), "none.json: cannot be read: No such file"),
        (("noisy.png", "--noise", "bad.json"), "describes no noise"),
        (("noisy.png", "--noise", "brown"), "one of auto, gaussian, poisson-gaussian"),
        (("noisy.png", "--noise", "good.json", "--sigma", "3"), "--sigma cannot be used with"),
        (("noisy.png", "--sensor", "1,2", "--sigma", "3"), "--sigma cannot be used with --sensor"),
    ],
)
def test_usage_mistakes_exit_with_2(arguments: tuple[str, ...], message: str) -> None:
    Path("bad.json").write_text('{"noise": "gaussian", "sigma": 3}')
    Path("good.json").write_text('{"noise": "gaussian", "units": "own", "sigma": 3}')
    code, stdout, stderr = run_cli(*arguments)
    assert (code, stdout) == (2, "")
    assert message in " ".join(stderr.split())


def test_noise_in_other_units_or_channels_is_refused_for_its_image() -> None:
    Path("own.json").write_text('{"noise": "gaussian", "units": "own", "sigma": 3}')
    code, _, stderr = run_cli("noisy.png", "--noise", "own.json")
    assert code == 1
    assert stderr.startswith("error: noisy.png: the noise given with --noise was measured in")
    table = [[[4.0]], [[4.0]], [[9.0]]]
    Path("rgb.json").write_text(
        json.dumps({"noise": "coloured", "units": "0..255", "covariances": table})
    )
    code, _, stderr = run_cli("noisy.png", "--noise", "rgb.json")
    assert code == 1
    assert "error: noisy.png: the noise is that of 3 channels, but the image has 1" in stderr


def test_float_images_have_noise_in_their_own_units() -> None:
    values = (0.5 + 0.01 * smooth_noise((96, 96), 3)).astype(np.float32)
    Path("flat.tif").write_bytes(tiff_bytes(values))
    code, stdout, _ = measure("flat.tif", "--json")
    assert code == 0
    saved = json.loads(stdout)
    assert saved["units"] == "own"
    assert saved["covariances"][0][0][0] == pytest.approx(1e-4, rel=0.15)


def test_hot_pixels_are_filled_in_unless_they_are_to_be_kept() -> None:
    pixels = read_image(Path("noisy.png")).pixels.copy()
    pixels[10, 12] = pixels[50, 20] = 255.0
    write_image(Path("hot.png"), pixels, overwrite=False)
    code, stdout, stderr = run_cli("hot.png", "--sigma", "9", "--json", *QUICK)
    assert code == 0
    note = "2 outliers (hot or dead pixels) were filled in; --keep-outliers leaves them"
    assert note in json.loads(stdout)["notes"] and note in stderr
    assert read_image(Path("hot_denoised.png")).pixels[10, 12] < 120
    code, stdout, _ = run_cli(
        "hot.png", "--keep-outliers", "--sigma", "9", "--json", *QUICK, "-o", "kept.png"
    )
    assert code == 0
    assert not json.loads(stdout)["notes"]
    assert read_image(Path("kept.png")).pixels[10, 12] > 150


def test_outliers_are_filled_in_where_there_is_no_noise() -> None:
    pixels = read_image(Path("clean.png")).pixels.copy()
    pixels[10, 12] = 255.0
    write_image(Path("hot.png"), pixels, overwrite=False)
    code, stdout, _ = run_cli("hot.png", "--json")
    assert code == 0
    assert (
        "there is no noise to speak of; the rest is written as it is" in json.loads(stdout)["notes"]
    )
    expected = read_image(Path("clean.png")).pixels
    found = read_image(Path("hot_denoised.png")).pixels
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).sum() <= 1


@pytest.mark.parametrize(("sigma", "said"), [("3", True), ("9", False), ("30", True)])
def test_a_given_sigma_that_is_far_from_the_noise_is_said(sigma: str, said: bool) -> None:
    white = 9 * np.random.default_rng(0).standard_normal((64, 64))
    write_image(Path("white.png"), read_image(Path("clean.png")).pixels + white, overwrite=False)
    code, stdout, _ = run_cli("white.png", "--sigma", sigma, "--json", *QUICK)
    assert code == 0
    notes = json.loads(stdout)["notes"]
    assert len(notes) == said
    assert all(re.search(r"looks like sigma [89].* of 255; without --sigma", one) for one in notes)


def test_smooth_noise_is_not_taken_for_weak_noise() -> None:
    level = 120 + 30 * np.sin(np.arange(128) / 20)
    write_image(Path("smooth.png"), level + 9 * smooth_noise((128, 128), 3), overwrite=False)
    code, stdout, _ = run_cli("smooth.png", "--sigma", "9", "--json", *QUICK)
    assert code == 0
    assert not json.loads(stdout)["notes"]


@pytest.mark.parametrize("sample_type", ["uint16", "int16"])
def test_noise_that_is_smaller_than_a_few_steps_between_values_is_said(sample_type: str) -> None:
    image = image_file(np.full((8, 9), 100, sample_type))
    for steps, said in ((0.5, True), (0.9 * FEW_STEPS, True), (1.1 * FEW_STEPS, False)):
        noise = GaussianNoise(steps * step_of(sample_type))
        assert bool(rounding_notes(image, noise)) == said
    assert rounding_notes(image, None) == ()
    assert rounding_notes(image_file(np.full((8, 9), 100.0)), GaussianNoise(0.1)) == ()
    assert rounding_notes(image_file(np.full((8, 9), 100, np.uint8)), GaussianNoise(1.0)) == ()


def test_counts_of_few_photons_come_with_a_note() -> None:
    counts = np.random.default_rng(0).poisson(step_image() / 50).astype(np.uint16)
    for name, array, said in (("u.npy", counts, True), ("f.npy", counts.astype("f4"), False)):
        np.save(name, array)
        code, _, stderr = run_cli(name, "--method", "nl-means", "--sigma", "0.01")
        assert (code, "convert the image to float32 first" in stderr) == (0, said), stderr
