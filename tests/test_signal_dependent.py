"""Images with photon noise, from array to array and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_AMPLITUDE, run_cli
from image_samples import tiff_bytes

from denoise import PoissonGaussian, denoise_image, denoise_poisson_gaussian
from denoise.metrics import psnr
from denoise.options import DenoiseOptions

NOISE = PoissonGaussian(gain=2.0, read_sigma=3.0, offset=10.0)


def clean_image(side: int = 48) -> np.ndarray:
    """Dark and bright squares with a slope."""
    rows, columns = np.mgrid[:side, :side]
    return 20.0 + 180.0 * (columns > side / 2) + 0.5 * rows


def photons(clean: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(1)
    counts = generator.poisson((clean - NOISE.offset) / NOISE.gain)
    read = generator.normal(0, NOISE.read_sigma, clean.shape)
    return NOISE.offset + NOISE.gain * counts + read


def tiny(sigma: float) -> DenoiseOptions:
    return TINY_AMPLITUDE


def test_it_beats_one_sigma_for_all_and_tells_where_the_noise_was() -> None:
    clean = clean_image()
    noisy = photons(clean)
    result = denoise_poisson_gaussian(
        noisy, NOISE, options_for=tiny, with_uncertainty=True, device="cpu"
    )
    level = float(np.sqrt(NOISE.variance(clean).mean()))
    plain = denoise_image(noisy, level, options=TINY_AMPLITUDE, device="cpu")
    assert psnr(clean, result.image) > psnr(clean, noisy) + 5
    assert psnr(clean, result.image) > psnr(clean, plain.image)
    assert result.image.shape == clean.shape
    assert result.uncertainty is not None
    dark, bright = (result.uncertainty[:, part].mean() for part in (slice(0, 20), slice(28, 48)))
    assert bright > 1.5 * dark
    z = (result.image - clean) / result.uncertainty
    assert 0.4 < float(z.std()) < 2.0


def test_without_gain_it_is_the_same_as_white_noise() -> None:
    clean = clean_image(32)
    noisy = clean + np.random.default_rng(0).normal(0, 8, clean.shape)
    white = denoise_image(noisy, 8.0, options=TINY_AMPLITUDE, device="cpu")
    same = denoise_poisson_gaussian(
        noisy, PoissonGaussian(0.0, 8.0), options_for=tiny, device="cpu"
    )
    np.testing.assert_allclose(same.image, white.image, atol=0.05)


@pytest.mark.usefixtures("tiny_preset")
def test_the_command_estimates_the_sensor_or_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clean = clean_image(64)
    Path("cells.tif").write_bytes(tiff_bytes(photons(clean).astype(np.float32)))
    Path("clean.tif").write_bytes(tiff_bytes(clean.astype(np.float32)))
    arguments = ["cells.tif", "--noise", "poisson-gaussian", "--reference", "clean.tif", "--json"]
    arguments += ["--decoder", "amplitude"]
    code, stdout, _ = run_cli(*arguments)
    assert code == 0
    estimated = json.loads(stdout)
    assert estimated["sigma"] is None
    assert estimated["sigma_source"] == "estimated"
    assert 1.2 < estimated["sensor"]["gain"] < 3.0
    assert estimated["psnr"] > estimated["psnr_noisy"] + 4
    code, stdout, _ = run_cli(*arguments, "--sensor", "2,3", "-o", "told.tif")
    assert code == 0
    told = json.loads(stdout)
    assert told["sensor"] == {"gain": 2.0, "read_sigma": 3.0, "offset": 0.0}
    assert told["sigma_source"] == "given"
    code, stdout, _ = run_cli(*arguments, "--sensor", "2,3,10", "-o", "offset.tif")
    assert code == 0
    assert json.loads(stdout)["sensor"]["offset"] == 10.0
    assert json.loads(stdout)["psnr"] > told["psnr"] - 0.5
    code, _, stderr = run_cli("cells.tif", "-o", "white.tif")
    assert code == 0
    assert "note: cells.tif: the noise grows with the light; try --noise poisson-gauss" in stderr
