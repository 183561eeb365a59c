"""Every kind of noise: laws that denoising needs, from array to array, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_AMPLITUDE, run_cli
from image_samples import tiff_bytes
from test_spectrum import binomial_covariances

from denoise import (
    ColouredNoise,
    GaussianNoise,
    Noise,
    PoissonGaussianNoise,
    denoise_image,
    estimate_noise,
)
from denoise.errors import OptionError
from denoise.metrics import psnr
from denoise.noise.white import WhiteImage

NOISE = PoissonGaussianNoise(gain=2.0, read_sigma=3.0, offset=10.0)


def clean_image(side: int = 48) -> np.ndarray:
    """Dark and bright squares with a slope."""
    rows, columns = np.mgrid[:side, :side]
    return 20.0 + 180.0 * (columns > side / 2) + 0.5 * rows


def photons(clean: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(1)
    counts = generator.poisson((clean - NOISE.offset) / NOISE.gain)
    read = generator.normal(0, NOISE.read_sigma, clean.shape)
    return NOISE.offset + NOISE.gain * counts + read


@pytest.mark.parametrize("noise", [GaussianNoise(7.0), NOISE], ids=str)
def test_stabilised_noise_is_white_of_the_sigma_that_it_says(noise: Noise) -> None:
    clean = np.linspace(40, 250, 200)[:, None, None] * np.ones((200, 200, 1))
    noisy = photons(clean)
    if noise.keeps_units:
        noisy = clean + np.random.default_rng(2).normal(0, 7, clean.shape)
    deviations = (noisy - clean) / np.sqrt(noise.variance(clean))
    assert deviations.std() == pytest.approx(1, abs=0.01)
    residual = noise.stabilise(noisy) - noise.stabilise(clean)
    assert residual.std(axis=(1, 2)) == pytest.approx(noise.stabilised_sigma, rel=0.25)
    assert residual.std() == pytest.approx(noise.stabilised_sigma, rel=0.01)
    np.testing.assert_allclose(noise.restore(noise.stabilise(clean)), clean, atol=1.0)
    if noise.keeps_units:
        assert np.array_equal(noise.stabilise(noisy), noisy)


def test_correlation_is_that_of_the_noise() -> None:
    covariance = binomial_covariances()
    coloured = ColouredNoise.of([9 * covariance, 4 * covariance, covariance], np.eye(3))
    np.testing.assert_allclose(coloured.correlation, covariance)
    for noise in (GaussianNoise(3), NOISE):
        assert np.array_equal(noise.correlation, [[1]])


@pytest.mark.parametrize("sigma", [0.3, 7.0, 25.0, 1 / 3])
def test_gaussian_noise_passes_through_without_a_rounding_error(sigma: float) -> None:
    image = np.random.default_rng(0).normal(100, sigma, (9, 11, 3))
    white = WhiteImage.of(image, GaussianNoise(sigma))
    assert (white.sigma, np.array_equal(white.pixels, image)) == (sigma, True)
    deviations = np.random.default_rng(1).random(image.shape).astype(np.float32)
    back, uncertainty = white.restored(image, deviations)
    assert np.array_equal(back, image.astype(np.float32))
    assert np.array_equal(uncertainty, deviations)


def test_a_number_is_the_sigma_of_gaussian_noise() -> None:
    image = np.random.default_rng(0).normal(100, 5, (16, 16))
    for number in (5, 5.0, np.float32(5), np.int64(5)):
        assert WhiteImage.of(image, number).noise == GaussianNoise(5.0)
    with pytest.raises(OptionError, match="noise is None: there is nothing to remove"):
        denoise_image(image, None)


@pytest.mark.parametrize("kind", ["gaussian", "poisson-gaussian"])
def test_an_estimate_is_noise_to_denoise_under_or_none(kind: str) -> None:
    clean = clean_image()
    noisy = photons(clean)
    if kind == "gaussian":
        noisy = clean + np.random.default_rng(0).normal(0, 15, clean.shape)
    noise = estimate_noise(noisy, kind)
    assert noise is not None
    result = denoise_image(noisy, noise, options=TINY_AMPLITUDE, device="cpu")
    assert result.noise == noise
    assert psnr(clean, result.image) > psnr(clean, noisy) + 4
    assert estimate_noise(np.full((40, 40), 7.0), kind) is None


def test_it_beats_one_sigma_for_all_and_tells_where_the_noise_was() -> None:
    clean = clean_image()
    noisy = photons(clean)
    result = denoise_image(
        noisy, NOISE, options=TINY_AMPLITUDE, with_uncertainty=True, device="cpu"
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
    noise = PoissonGaussianNoise(0.0, 8.0)
    same = denoise_image(noisy, noise, options=TINY_AMPLITUDE, device="cpu")
    shift = same.image.mean() - white.image.mean()
    np.testing.assert_allclose(same.image - shift, white.image, atol=0.05)
    assert same.image.mean() == pytest.approx(noisy.mean(), rel=1e-6)


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
    code, _, stderr = run_cli("cells.tif", "--noise", "gaussian", "-o", "white.tif")
    assert code == 0
    assert "note: cells.tif: the noise grows with the light; try --noise auto" in stderr
