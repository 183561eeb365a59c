"""The ablation's table on a tiny image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_AMPLITUDE, step_image
from typer import Typer
from typer.testing import CliRunner

from ablation import COLUMNS, main, total_variation
from denoise.files.images import write_image
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise


def test_table_has_a_row_per_image_and_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.preset_for", lambda name, sigma: TINY_AMPLITUDE)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        write_image(path, step_image(), overwrite=False)
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [*map(str, paths), "--sigmas", "20"])
    assert result.exit_code == 0
    rows = [line.strip("|").split("|") for line in result.stdout.splitlines()]
    assert [row[0].strip() for row in rows[2:]] == ["a.png", "b.png", "mean"]
    values = np.array([[float(value) for value in row[2:]] for row in rows[2:]])
    assert values.shape == (3, len(COLUMNS))
    np.testing.assert_allclose(values[:2].mean(0), values[2], atol=0.02)


def test_total_variation_takes_the_best_weight() -> None:
    clean = step_image().astype(np.float32)
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    assert psnr(clean, total_variation(noisy, clean, 20)) > psnr(clean, noisy) + 4
