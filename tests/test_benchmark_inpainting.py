"""The benchmark on images of which pixels are missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import step_image
from typer.testing import CliRunner

from denoise.benchmark.protocol import Damage, Protocol
from denoise.cli.benchmark import app
from denoise.files.images import write_image
from denoise.methods.table import METHODS


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout + result.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image(Path("a.png"), step_image(32, 32), overwrite=False)
    return tmp_path


def test_pixels_are_hidden_after_the_noise_with_all_their_colours() -> None:
    clean = np.full((40, 50, 3), 100, np.float32)
    noisy, damaged = (
        Protocol().damaged(clean, Damage(20, share), number=2, repeat=1) for share in (0.0, 0.3)
    )
    hidden = np.isnan(damaged)
    assert np.array_equal(hidden.any(2), hidden.all(2))
    assert hidden.mean() == pytest.approx(0.3, abs=0.05)
    assert np.array_equal(damaged[~hidden], noisy[~hidden])
    assert (Damage(25).name, Damage(0, 0.5).name, Damage(25, 0.8).name) == (
        *("sigma 25", "50 % missing"),
        "sigma 25, 80 % missing",
    )


@pytest.mark.usefixtures("tiny_preset")
def test_a_table_for_every_share_and_noise(folder: Path) -> None:
    arguments = ("--images", "a.png", "--task", "inpainting", "--json", "r.json")
    code, output = run(*arguments, "--sigmas", "0,10", "--missing", "0.2,0.5")
    assert code == 0, output
    assert "Missing: after the noise" in output
    assert "| biharmonic | a.png | sigma 10, 20 % missing | " in output
    cells = json.loads(Path("r.json").read_text())["cells"]
    assert [cell["method"] for cell in cells[:3]] == ["biharmonic", "fast", "balanced"]
    damages = [(0, 0.2), (0, 0.5), (10, 0.2), (10, 0.5)]
    assert [(cell["sigma"], cell["missing"]) for cell in cells[::3]] == damages
    assert all(cell["psnr"] > 20 for cell in cells)
    quality = {(cell["method"], cell["sigma"], cell["missing"]): cell["psnr"] for cell in cells}
    assert quality["fast", 0, 0.2] > quality["fast", 0, 0.5]
    assert run(*arguments, "--sigmas", "0,10", "--missing", "0.2,0.5", "--resume")[0] == 0
    assert json.loads(Path("r.json").read_text())["cells"] == cells


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--missing", "0.5"], "--missing needs --task inpainting"),
        (["--sigmas", "0"], "--sigmas must be positive"),
        (["--task", "inpainting", "--missing", "1"], "shares between 0 and 1"),
        (["--task", "inpainting", "--missing", "half"], "must be numbers such as 0.5,0.8"),
    ],
)
def test_wrong_usage(folder: Path, arguments: list[str], message: str) -> None:
    code, output = run("--images", "a.png", *arguments)
    assert code == 2
    assert message in " ".join(output.split())


def test_the_biharmonic_equation_continues_a_slope_and_keeps_the_rest() -> None:
    rows, columns = np.mgrid[:20, :24]
    slope = 50.0 + 3 * rows + 2 * columns
    image = slope.copy()
    image[8:12, 5:20] = np.nan
    found = METHODS["biharmonic"].denoise(image, 0).image
    np.testing.assert_allclose(found, slope, atol=0.01)
