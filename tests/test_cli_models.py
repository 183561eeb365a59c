"""Models on the command line: saved, shown and used again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import contents, noisy_file
from conftest import run_cli as run
from image_samples import tiff_bytes
from PIL import Image

from denoise.files.images import read_image, write_image
from denoise.metrics import psnr

pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a clean and a noisy image."""
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("gray_noisy.png"), clean=Path("gray.png"))
    return tmp_path


def test_a_model_is_saved_shown_and_used_again(folder: Path) -> None:
    arguments = ["gray_noisy.png", "--sigma", "20", "--decoder", "amplitude"]
    extras = ["--save-model", "m.npz", "--show-model", "m.png", "--uncertainty", "u.npy"]
    assert run(*arguments, *extras)[0] == 0
    with Image.open("m.png") as picture:
        assert picture.mode == "RGB"
    uncertainty = np.load("u.npy")
    assert uncertainty.shape == (24, 24)
    assert bool((uncertainty > 0).all())
    assert float(uncertainty.max()) < 20  # gray levels; less than that of the data
    arguments = ["gray_noisy.png", "--sigma", "20"]
    again = [*arguments, "-o", "b.png", "--load-model", "m.npz", "--json"]
    code, stdout, stderr = run(*again, "--uncertainty", "u.png")
    assert code == 0
    assert "learning" not in stderr
    assert json.loads(stdout)["elbo"] is None
    assert psnr(read_image(Path("gray.png")).pixels, read_image(Path("b.png")).pixels) > 24
    assert read_image(Path("u.png")).pixels.max() == 255
    code, stdout, _ = run(*arguments, "-o", "c.png", "--load-model", "m.npz", "-q")
    assert (code, stdout) == (0, "")
    assert Path("b.png").read_bytes() == Path("c.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--load-model", "none.npz"], "none.npz: no such file"),
        (["--load-model", "gray.png"], "gray.png: is not a model file"),
        (["--save-model", "m.pt"], "m.pt: unknown file type '.pt'; use one of .npz"),
        (["--save-model", "gray.npz"], "gray.npz: exists already"),
        (["--uncertainty", "u.txt"], "u.txt: unknown file type"),
    ],
)
def test_mistakes_with_models_leave_no_trace(
    folder: Path, arguments: list[str], message: str
) -> None:
    (folder / "gray.npz").write_bytes(b"mine")
    before = contents(folder)
    code, stdout, stderr = run("gray_noisy.png", "--sigma", "20", *arguments)
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"error: {message}")
    assert stderr.count("\n") == 1
    assert contents(folder) == before


def test_a_colour_model_does_not_fit_a_gray_image(folder: Path) -> None:
    colour = np.stack([read_image(Path("gray_noisy.png")).pixels] * 3, -1) * (1, 0.9, 0.8)
    write_image(Path("rgb_noisy.png"), colour, overwrite=False)
    assert run("rgb_noisy.png", "--sigma", "20", "--save-model", "m.npz")[0] == 0
    code, _, stderr = run("gray_noisy.png", "--sigma", "20", "--load-model", "m.npz")
    assert code == 1
    assert "gray_noisy.png: the model was learned on 3 channels, but the image has 1" in stderr


@pytest.mark.parametrize("budget", ["0.1s", "3 s", ".05min"])
def test_a_time_budget_is_kept_or_the_quickest_version_runs(folder: Path, budget: str) -> None:
    started = time.perf_counter()
    arguments = ["gray_noisy.png", "--sigma", "20", "--decoder", "amplitude"]
    code, stdout, _ = run(*arguments, "--time-budget", budget, "--json", "--reference", "gray.png")
    assert code == 0
    assert time.perf_counter() - started < 10
    report = json.loads(stdout)
    assert report["psnr"] > report["psnr_noisy"] + 2


def test_a_model_for_other_units_is_refused(folder: Path) -> None:
    assert run("gray_noisy.png", "--sigma", "20", "--save-model", "m.npz")[0] == 0
    floats = read_image(Path("gray_noisy.png")).pixels / 255
    Path("floats.tif").write_bytes(tiff_bytes(floats.astype(np.float32)))
    code, _, stderr = run("floats.tif", "--sigma", "0.08", "--load-model", "m.npz")
    assert code == 1
    assert "error: floats.tif: the model was learned for noise of sigma" in stderr
