"""`denoise --model vq-vae`: peers on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import contents, noisy_file
from conftest import run_cli as run
from image_samples import tiff_bytes

from denoise.files.images import read_image
from denoise.methods.options import PEERS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a clean and a noisy image."""
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("noisy.png"), clean=Path("clean.png"))
    return tmp_path


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_denoises_a_file_and_tells_how_it_went(folder: Path, name: str) -> None:
    arguments = ("noisy.png", "--sigma", "20", "--model", name, "--reference", "clean.png")
    budget = ("--epochs", "3", "--training-patches", "200")
    code, stdout, _ = run(*arguments, *budget, "--json", "--figure", "f.png")
    assert code == 0
    report = json.loads(stdout)
    assert (report["model"], report["preset"], report["elbo"]) == (name, None, None)
    assert report["settings"]["training"]["epochs"] == 3
    assert report["settings"]["training"]["patch_budget"] == 200
    assert np.isfinite(report["diagnostics"]["loss"])
    assert np.isfinite(report["psnr"])
    assert read_image(Path("f.png")).channels == 3
    first = Path("noisy_denoised.png").read_bytes()
    code, stdout, stderr = run(*arguments, *budget, "--overwrite")
    assert code == 0
    assert f"loss {report['diagnostics']['loss']:.4g}" in stdout
    assert "learning" in stderr
    assert Path("noisy_denoised.png").read_bytes() == first


def test_a_peer_can_estimate_and_handle_photon_noise(folder: Path) -> None:
    generator = np.random.default_rng(0)
    clean = np.repeat(np.repeat(np.linspace(20, 200, 64).reshape(8, 8), 8, 0), 8, 1)
    Path("light.tif").write_bytes(tiff_bytes(generator.poisson(clean).astype(np.float32)))
    Path("light_clean.tif").write_bytes(tiff_bytes(clean.astype(np.float32)))
    arguments = ("light.tif", "--noise", "poisson-gaussian", "--sensor", "1,0.5")
    code, stdout, _ = run(
        *arguments, "--model", "gm-vae", "--reference", "light_clean.tif", "--json"
    )
    assert code == 0
    report = json.loads(stdout)
    assert report["psnr"] > report["psnr_noisy"] + 3


@pytest.mark.parametrize(
    "option",
    [
        ("--preset", "fast"),
        ("--decoder", "mlp"),
        ("--time-budget", "9s"),
        ("--learn-sigma",),
        ("--curve", "c.csv"),
        ("--uncertainty", "u.npy"),
        ("--save-model", "m.npz"),
        ("--load-model", "m.npz"),
        ("--show-model", "m.png"),
    ],
)
def test_options_of_our_own_model_are_refused(folder: Path, option: tuple[str, ...]) -> None:
    before = contents(folder)
    code, _, stderr = run("noisy.png", "--model", "vq-vae", *option)
    assert code == 2
    assert "cannot be used with --model vq-vae" in " ".join(stderr.replace("│", " ").split())
    assert contents(folder) == before


def test_what_a_peer_cannot_do_is_one_clear_line(folder: Path) -> None:
    assert run("noisy.png", "--model", "magic")[0] == 2
    pixels = read_image(Path("noisy.png")).pixels.copy()
    pixels[3, 4] = np.nan
    Path("hole.tif").write_bytes(tiff_bytes(pixels))
    code, _, stderr = run("hole.tif", "--sigma", "20", "--model", "vq-vae", "--fill-missing")
    assert code == 1
    assert stderr.startswith("error: hole.tif: the image has missing values, which only our")
