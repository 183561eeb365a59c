"""Files of several images on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from conftest import documented_keys, run_cli, step_image
from image_samples import pillow_bytes, tiff_bytes
from series_samples import SIGMA, noisy_stack, report, write_stack
from typer.testing import CliRunner

from denoise.cli.main import app
from denoise.files.samples import to_8bit
from denoise.files.series import open_series
from denoise.vae.saved import load_models


@pytest.fixture(autouse=True)
def folder(tiny_preset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with `stack.tif`."""
    monkeypatch.chdir(tmp_path)
    write_stack()


def test_all_images_of_a_file_are_denoised_and_what_it_says_of_them_stays() -> None:
    found = report("stack.tif", *SIGMA)
    assert (found["images"], found["axes"]) == (6, {"T": 3, "C": 2})
    assert [one["sigma"] for one in found["noises"]] == [20, 20]
    with tifffile.TiffFile("stack.tif") as before, tifffile.TiffFile("stack_denoised.tif") as after:
        assert after.imagej_metadata == before.imagej_metadata
        assert after.series[0].axes == "TCYX"
        noisy, denoised = before.asarray(), after.asarray()
        assert after.pages.first.tags["XResolution"].value == (5, 1)
    assert (denoised.shape, denoised.dtype) == (noisy.shape, noisy.dtype)
    for one, other in zip(noisy.reshape(6, 24, 24), denoised.reshape(6, 24, 24), strict=True):
        assert np.std(other - step_image()) < 0.7 * np.std(one - step_image())


def test_the_summary_says_along_which_axes_images_lie() -> None:
    code, stdout, _ = run_cli("stack.tif", *SIGMA)
    assert code == 0
    assert stdout.startswith(
        "stack.tif: 24x24 gray, 6 images (T3 C2), cpu, sigma 20 of 255 / sigma 20 of 255, "
    )
    assert {"images", "axes", "noises"} <= documented_keys("What `--json` prints")


def test_a_channel_is_denoised_as_if_the_others_were_not_there() -> None:
    stack = noisy_stack(3, 2)
    stack[:, 1] = noisy_stack(3, sigma=5)
    Path("both.tif").write_bytes(
        tiff_bytes(stack, imagej=True, metadata={"axes": "TCYX"}, photometric="minisblack")
    )
    Path("first.tif").write_bytes(tiff_bytes(stack[:, 0], photometric="minisblack"))
    both, first = report("both.tif"), report("first.tif")
    sigmas = [one["sigma"] for one in both["noises"]]
    assert sigmas[0] == first["sigma"] > 2 * sigmas[1]
    together = tifffile.imread("both_denoised.tif")
    np.testing.assert_array_equal(together[:, 0], tifffile.imread("first_denoised.tif"))


def test_the_user_may_name_the_axes() -> None:
    assert report("stack.tif", *SIGMA, "--axes", "tzyx", "-o", "z.tif")["axes"] == {"T": 3, "Z": 2}
    code, _, stderr = run_cli("stack.tif", "--axes", "TYX")
    assert code == 1
    assert "stack.tif: axes TYX do not fit: it holds 3x2 images, one letter for each" in stderr
    for wrong in ("", "T0", "TTYX"):
        assert run_cli("stack.tif", "--axes", wrong)[0] == 2


def test_one_noise_is_measured_or_one_for_each_image() -> None:
    stack = np.stack([noisy_stack(sigma=sigma, seed=sigma) for sigma in (5, 10, 20, 40)])
    Path("mixed.tif").write_bytes(tiff_bytes(stack, photometric="minisblack"))
    one = report("mixed.tif")
    each = report("mixed.tif", "--model-per-frame", "--overwrite")
    assert len(one["noises"]) == 1
    sigmas = [noise["sigma"] for noise in each["noises"]]
    assert sigmas == sorted(sigmas)
    assert 2 * sigmas[0] < sigmas[3]
    _, stdout, _ = run_cli("mixed.tif", "--model-per-frame", "--overwrite")
    assert f"sigma {sigmas[0]:.4g} of 255 / ... / sigma {sigmas[3]:.4g} of 255" in stdout


def test_an_image_among_others_can_be_chosen() -> None:
    found = report("stack.tif", *SIGMA, "--frame", "3", "-o", "third.tif")
    assert (found["images"], found["axes"], found["noises"]) == (None, None, None)
    assert tifffile.imread("third.tif").shape == (24, 24)


def test_quality_is_the_mean_over_images_of_a_file_that_is_opened_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Path] = []

    def counted(path: Path, **how: Any) -> Any:
        opened.append(path)
        return open_series(path, **how)

    monkeypatch.setattr("denoise.cli.reference.open_series", counted)
    clean = to_8bit(step_image())
    Path("clean.png").write_bytes(pillow_bytes(clean, "PNG"))
    Path("clean.tif").write_bytes(tiff_bytes(np.stack([clean] * 6), photometric="minisblack"))
    found = report("stack.tif", *SIGMA, "--reference", "clean.tif", "-o", "a.tif")
    assert opened == [Path("clean.tif")]
    same = report("stack.tif", *SIGMA, "--reference", "clean.png", "-o", "b.tif")
    images = tifffile.imread("a.tif").reshape(6, 24, 24).astype(float)
    expected = np.mean([10 * np.log10(255**2 / np.mean((image - clean) ** 2)) for image in images])
    assert found["psnr"] == pytest.approx(expected)
    assert found["psnr"] == same["psnr"] > found["psnr_noisy"] + 3
    Path("short.tif").write_bytes(tiff_bytes(np.stack([clean] * 5), photometric="minisblack"))
    code, _, stderr = run_cli("stack.tif", *SIGMA, "--reference", "short.tif", "-o", "c.tif")
    assert (code, Path("c.tif").exists()) == (1, False)
    assert "short.tif: holds 5 images, but stack.tif 6; give a reference of as many" in stderr


def test_residual_and_uncertainty_hold_as_many_images() -> None:
    report("stack.tif", *SIGMA, "--residual", "r.tif", "--uncertainty", "u.tif")
    noisy, denoised = (tifffile.imread(name) for name in ("stack.tif", "stack_denoised.tif"))
    residual, sigma = tifffile.imread("r.tif"), tifffile.imread("u.tif")
    np.testing.assert_array_equal(
        residual.reshape(noisy.shape), noisy.astype(float) - denoised.astype(float)
    )
    assert residual.dtype == np.float32
    assert sigma.shape == residual.shape
    assert (sigma > 0).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--figure", "f.png"], "holds 6 images, and --figure is about one; choose it with --fr"),
        (["--report", "pages"], "holds 6 images, and --report is about one"),
        (["--time-budget", "5s"], "holds 6 images, and --time-budget is about one"),
        (["--save-model", "m.npz"], "would need more than one model file; leave out --save-model"),
        (["-o", "out.png"], "out.png: PNG holds one image; use .tif"),
        (["--residual", "r.png"], "r.png: PNG holds one image; use .tif"),
    ],
)
def test_what_only_one_image_can_have_is_refused(options: list[str], reason: str) -> None:
    code, _, stderr = run_cli("stack.tif", *SIGMA, *options)
    assert code == 1
    assert reason in stderr
    assert {path.name for path in Path().iterdir()} == {"stack.tif"}


def test_a_model_is_saved_and_used_for_other_files() -> None:
    for seed, name in enumerate(("a.tif", "b.tif")):
        stack = noisy_stack(3, seed=seed)
        Path(name).write_bytes(tiff_bytes(stack, photometric="minisblack"))
    report("a.tif", *SIGMA, "--save-model", "m.npz")
    assert len(load_models(Path("m.npz"), torch.device("cpu"))) > 0
    before = Path("a_denoised.tif").read_bytes()
    report("a.tif", *SIGMA, "--load-model", "m.npz", "--overwrite")
    assert Path("a_denoised.tif").read_bytes() == before
    assert report("b.tif", *SIGMA, "--load-model", "m.npz")["elbo"] is None


def test_a_mask_holds_for_all_images() -> None:
    mask = np.zeros((24, 24), np.uint8)
    mask[5:9, 5:9] = 255
    Path("mask.png").write_bytes(pillow_bytes(mask, "PNG"))
    stack = noisy_stack(3)
    stack[:, mask > 0] = 255
    Path("a.tif").write_bytes(tiff_bytes(stack, photometric="minisblack"))
    found = report("a.tif", *SIGMA, "--mask", "mask.png")
    assert found["notes"] == ["the mask marks 16 pixels to fill in"]
    filled = tifffile.imread("a_denoised.tif")[:, mask > 0].astype(float)
    assert np.abs(filled - step_image()[mask > 0]).max() < 60


def test_outliers_of_all_images_are_told_once() -> None:
    stack = noisy_stack(4, sigma=3)
    stack[0, 3, 4] = stack[1, 3, 4] = stack[3, 15, 4] = 255
    Path("hot.tif").write_bytes(tiff_bytes(stack, photometric="minisblack"))
    found = report("hot.tif", "--sigma", "3")
    (note,) = found["notes"]
    assert note.startswith("3 outliers (hot or dead pixels) were filled in")


def test_files_without_noise_come_out_as_they_went_in() -> None:
    clean = np.stack([np.rint(step_image()).astype(np.uint8)] * 3)
    Path("clean.tif").write_bytes(tiff_bytes(clean, photometric="minisblack"))
    found = report("clean.tif")
    assert found["sigma"] == 0
    np.testing.assert_array_equal(tifffile.imread("clean_denoised.tif"), clean)


def test_other_methods_denoise_all_images_too() -> None:
    found = report("stack.tif", *SIGMA, "--method", "nl-means")
    assert (found["model"], found["images"]) == ("nl-means", 6)
    assert np.std(tifffile.imread("stack_denoised.tif") - step_image()) < 18


@pytest.mark.usefixtures("known_speed")
def test_info_gives_the_command_for_the_whole_file() -> None:
    stdout = CliRunner().invoke(app, ["info", "stack.tif", "--device", "cpu"]).stdout
    assert "6, T 3, C 2; the rest is about frame 1" in stdout
    assert "denoise stack.tif" in stdout
    assert "--frame" not in stdout
    assert "times are for all 6 images, without start-up" in stdout


def test_images_of_one_value_take_no_part_in_the_noise() -> None:
    stack = noisy_stack(5, sigma=10)
    Path("all.tif").write_bytes(tiff_bytes(stack, photometric="minisblack"))
    with_flat = np.insert(stack, [0, 3], 50, axis=0)
    Path("flat.tif").write_bytes(tiff_bytes(with_flat, photometric="minisblack"))
    assert report("flat.tif")["sigma"] == report("all.tif")["sigma"]
    np.testing.assert_array_equal(tifffile.imread("flat_denoised.tif")[[0, 4]], 50)


def test_axes_named_by_the_user_hold_for_one_image_and_for_the_result() -> None:
    stack = noisy_stack(5)[:, :20]
    np.save("yxt.npy", np.moveaxis(stack, 0, -1))
    options = ["yxt.npy", *SIGMA, "--axes", "YXT"]
    report(*options, "--frame", "2", "-o", "second.npy")
    assert np.load("second.npy").shape == (20, 24)
    report(*options, "-o", "all.npy")
    assert np.load("all.npy").shape == (20, 24, 5)
    assert report(*options, "-o", "all.npy", "--skip-existing")["status"] == "skipped"
