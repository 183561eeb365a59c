"""Noise that is correlated between pixels and colours: whitening, its way back, denoising."""

from __future__ import annotations

import numpy as np
import pytest
from test_spectrum import BINOMIAL, binomial_covariances, smooth_noise

from denoise import ColouredNoise, GaussianNoise, PoissonGaussianNoise, denoise_image
from denoise.errors import ImageError, OptionError
from denoise.metrics import psnr
from denoise.noise.saved import noise_from_json, noise_to_json
from denoise.noise.spectrum import window_energies

AXES = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
GROWTH = PoissonGaussianNoise(gain=2.0, read_sigma=3.0, offset=1.0)
NOISES = [
    ColouredNoise.of([16 * binomial_covariances()]),
    ColouredNoise.of([np.array([[one]]) for one in (1600.0, 400.0, 900.0)]),
    ColouredNoise.of([9 * binomial_covariances() * k for k in (1, 2, 0.5)], AXES, GROWTH),
]


def coloured(noise: ColouredNoise, shape: tuple[int, int], seed: int) -> np.ndarray:
    """A draw (height, width, C) of noise without growth."""
    white = np.random.default_rng(seed).standard_normal((*shape, noise.channels))
    return noise.restore(white)


@pytest.mark.parametrize("noise", NOISES, ids=["correlated", "channels", "all"])
def test_restore_undoes_stabilise_exactly(noise: ColouredNoise) -> None:
    image = np.random.default_rng(0).uniform(50, 200, (19, 23, noise.channels))
    white = noise.stabilise(image)
    if noise.growth is None:
        np.testing.assert_allclose(noise.restore(white), image, rtol=1e-12)
    else:  # but for the bias that the inverse transform of photon noise takes away
        np.testing.assert_allclose(noise.restore(white), image, atol=1.0)


def test_filtered_noise_becomes_white() -> None:
    noisy = 4 * smooth_noise((256, 256), seed=5)[..., None]
    energies = window_energies(NOISES[0].stabilise(noisy)[..., 0])
    assert energies is not None
    found = energies.mean(0)
    # Where the filter lets enough through; the rest is below 1, since the power is bounded.
    assert found[:4, :4] == pytest.approx(1, abs=0.25)
    assert found.max() < 1.3


def test_channels_become_alike_and_independent() -> None:
    covariance = np.array([[9.0, 5.0, 1.0], [5.0, 6.0, 0.5], [1.0, 0.5, 2.0]])
    variances, axes = np.linalg.eigh(covariance)
    noise = ColouredNoise.of([np.array([[one]]) for one in variances], axes.T)
    draws = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, (200, 200))
    white = noise.stabilise(draws).reshape(-1, 3)
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=0.03)
    np.testing.assert_allclose(noise.variance(np.zeros((2, 3)))[0], np.diag(covariance))
    assert noise.summary() == "sigma 3/2.45/1.41"


def test_a_channel_with_more_noise_profits_from_the_others_and_does_not_spoil_them() -> None:
    rows, columns = np.mgrid[:64, :64]
    clean = 80 + 60 * np.sin(columns / 10) + 40.0 * ((rows // 16 + columns // 16) % 2)
    clean = clean[..., None] * np.array([1.0, 0.8, 0.6])
    sigmas = np.array([5.0, 5.0, 50.0])
    noisy = clean + sigmas * np.random.default_rng(0).standard_normal(clean.shape)
    noise = ColouredNoise.of([np.array([[one]]) for one in sigmas**2])
    together = denoise_image(noisy, noise, preset="fast", device="cpu").image
    for channel, most in enumerate([1.0, 1.0, 0.7]):
        alone = denoise_image(noisy[..., channel], sigmas[channel], preset="fast", device="cpu")
        error = np.std(together[..., channel] - clean[..., channel])
        assert error < most * np.std(alone.image - clean[..., channel])


def test_missing_pixels_stay_missing_and_change_only_their_surroundings() -> None:
    noise = NOISES[0]
    image = 100 + coloured(noise, (40, 40), 1)
    holed = image.copy()
    holed[20, 20] = np.nan
    white = noise.stabilise(holed)
    assert np.argwhere(np.isnan(white)).tolist() == [[20, 20, 0]]
    far = np.ones((40, 40), bool)
    far[10:31, 10:31] = False
    np.testing.assert_allclose(white[far], noise.stabilise(image)[far], atol=0.1)


def test_correlated_noise_is_removed_better_than_as_if_it_were_white() -> None:
    rows, columns = np.mgrid[:64, :64]
    clean = 60.0 + 100 * (columns > 30) + rows
    noise = ColouredNoise.of([225 * binomial_covariances()])
    noisy = clean + 15 * smooth_noise(clean.shape, seed=7)
    as_white = denoise_image(noisy, GaussianNoise(15), preset="fast", device="cpu").image
    result = denoise_image(noisy, noise, preset="fast", device="cpu", with_uncertainty=True)
    assert psnr(clean, result.image) > psnr(clean, as_white) + 1.0 > psnr(clean, noisy) + 3
    assert result.noise == noise
    assert result.image.mean() == pytest.approx(noisy.mean(), rel=1e-5)
    assert result.uncertainty is not None and np.isfinite(result.uncertainty).all()


def test_a_few_photons_get_a_second_look() -> None:
    noise = PoissonGaussianNoise(gain=10.0, read_sigma=2.0, offset=3.0)
    generator = np.random.default_rng(0)
    clean = np.full((400, 400), 23.0)
    noisy = 3 + 10 * generator.poisson(2.0, clean.shape) + generator.normal(0, 2, clean.shape)
    found = noise.second_look(noisy, clean)
    assert found is not None
    mixed, less = found
    # With the right estimate, the mean stays and the variance is that of the noise it says.
    assert mixed.mean() == pytest.approx(23, abs=0.1)
    assert mixed.var() == pytest.approx(less.variance(clean).mean(), rel=0.03)
    assert noise.second_look(noisy + 300, clean + 300) is None
    assert GaussianNoise(3).second_look(noisy, clean) is None


@pytest.mark.parametrize("noise", [*NOISES, GaussianNoise(2.5), GROWTH], ids=str)
def test_noise_is_read_again_as_it_was_written(noise: object) -> None:
    assert noise_from_json(noise_to_json(noise, "own")) == (noise, "own")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"noise": "brown", "units": "own"}',
        '{"noise": "gaussian"}',
        '{"noise": "gaussian", "units": "own", "sigma": -1}',
        '{"noise": "gaussian", "units": "own", "sigma": "much"}',
        '{"noise": "gaussian", "units": "own", "sigma": 1, "colour": 2}',
        '{"noise": "coloured", "units": "own", "covariances": []}',
        '{"noise": "coloured", "units": "own", "covariances": [[[1, 2], [3]]]}',
        '{"noise": "coloured", "units": "own", "covariances": [[[1]]], "axes": [[2]]}',
        '{"noise": "coloured", "units": "own", "covariances": [[[1]]], "growth": 3}',
    ],
)
def test_what_is_no_noise_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        noise_from_json(text)


def test_other_channels_are_refused() -> None:
    with pytest.raises(ImageError, match="noise is that of 3 channels, but the image has 1"):
        denoise_image(np.ones((32, 32)), NOISES[1])
    assert BINOMIAL.sum() == 1
