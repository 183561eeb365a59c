"""Signal-dependent noise: the transform and its inverse against sums, the fit against truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import SAMPLES, SHARED_DATA, estimated_sigma

from denoise import denoise_image
from denoise.errors import ImageError, OptionError
from denoise.files.images import read_image
from denoise.files.samples import to_8bit
from denoise.metrics import psnr
from denoise.noise.photons import estimate_poisson_gaussian, noise_curve
from denoise.noise.poisson_gaussian import PoissonGaussianNoise

# Photons, where the transform is a good one.
PHOTONS = (0.0, 0.2, 1.0, 3.0, 10.0, 40.0, 150.0)


def moments(noise: PoissonGaussianNoise, clean: float) -> tuple[float, float]:
    """Exact mean and variance of a stabilised pixel, by summation over photons and quadrature."""
    photons = (clean - noise.offset) / noise.gain
    counts = np.arange(int(photons + 12 * math.sqrt(photons) + 30))
    log_factorials = np.array([math.lgamma(k + 1) for k in counts])
    chances = np.exp(counts * math.log(max(photons, 1e-300)) - photons - log_factorials)
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    values = noise.offset + noise.gain * counts[:, None] + noise.read_sigma * nodes
    joint = chances[:, None] * weights / weights.sum()
    stabilised = noise.stabilise(values)
    mean = float((joint * stabilised).sum())
    return mean, float((joint * (stabilised - mean) ** 2).sum())


def draw(noise: PoissonGaussianNoise, clean: np.ndarray, *, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = np.asarray(clean, np.float64) - noise.offset
    if noise.gain > 0:
        values = noise.gain * generator.poisson(values / noise.gain)
    return values + noise.offset + noise.read_sigma * generator.standard_normal(values.shape)


@pytest.mark.parametrize("read", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("photons", PHOTONS)
def test_the_inverse_is_unbiased(photons: float, read: float) -> None:
    """The mean of the transform, summed exactly, comes back as the signal."""
    noise = PoissonGaussianNoise(gain=1.0, read_sigma=read)
    mean, _ = moments(noise, photons)
    assert noise.restore(mean) == pytest.approx(photons, abs=0.05)
    if photons == 10 and read == 0:  # what the inverse is for: the algebraic one is biased
        assert mean**2 / 4 - 0.375 < photons - 0.2


@pytest.mark.parametrize(
    ("photons", "read", "error"),
    [(4.0, 0.0, 0.02), (10.0, 0.0, 0.01), (10.0, 2.0, 0.02), (40.0, 1.0, 0.01), (0.0, 5.0, 0.03)],
)
def test_stabilised_noise_has_variance_one(photons: float, read: float, error: float) -> None:
    _, variance = moments(PoissonGaussianNoise(1.0, read), photons)
    assert variance == pytest.approx(1, abs=error)


def test_units_and_offset_only_relabel_the_image() -> None:
    unit, scaled = PoissonGaussianNoise(1.0, 0.7), PoissonGaussianNoise(2.5, 2.5 * 0.7, offset=30.0)
    photons = np.array([-3.0, 0.0, 0.5, 8.0, 90.0, np.nan])
    np.testing.assert_allclose(scaled.stabilise(30 + 2.5 * photons), unit.stabilise(photons))
    stabilised = np.array([-1.0, 0.0, 1.0, 1.5, 4.0, 20.0, np.nan])
    np.testing.assert_allclose(scaled.restore(stabilised), 30 + 2.5 * unit.restore(stabilised))
    np.testing.assert_allclose(
        scaled.variance([20, 30, 40]), [2.5**2 * 0.49 + g for g in (0, 0, 25)]
    )


def test_the_inverse_rises_from_the_offset() -> None:
    for read in (0.0, 0.5, 4.0):
        restored = PoissonGaussianNoise(2.0, 2 * read, offset=5.0).restore(np.linspace(0, 30, 400))
        assert restored[0] == 5
        assert (np.diff(restored) >= 0).all()
        assert np.isfinite(restored).all()


def test_gaussian_noise_is_only_scaled() -> None:
    noise, image = PoissonGaussianNoise(0.0, 4.0, offset=3.0), np.array([-5.0, 3.0, 11.0])
    np.testing.assert_allclose(noise.stabilise(image), [-2, 0, 2])
    np.testing.assert_allclose(noise.restore(noise.stabilise(image)), image)


@pytest.mark.parametrize(
    ("gain", "read_sigma", "offset"),
    [(-1, 1, 0), (0, 0, 0), (1, -1, 0), (math.inf, 1, 0), (1, math.nan, 0), (1, 1, math.nan)],
)
def test_impossible_parameters_are_refused(gain: float, read_sigma: float, offset: float) -> None:
    with pytest.raises(OptionError, match="gain and read_sigma must be finite"):
        PoissonGaussianNoise(gain, read_sigma, offset)


@pytest.mark.parametrize(
    "noise",
    [
        PoissonGaussianNoise(0.5, 3.0),
        PoissonGaussianNoise(4.0, 0.0),
        PoissonGaussianNoise(4.0, 12.0),
        PoissonGaussianNoise(10.0, 0.0, offset=8.0),
        PoissonGaussianNoise(0.0, 15.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("eight_bit", [False, True])
def test_a_photograph_gives_away_its_noise(noise: PoissonGaussianNoise, eight_bit: bool) -> None:
    """Within 8 % of the standard deviation at every brightness of the image, 3 % on the mean."""
    clean = 10 + 0.7 * read_image(SAMPLES / "camera.png").pixels
    noisy = draw(noise, clean)
    estimate = estimate_poisson_gaussian(to_8bit(noisy) if eight_bit else noisy)
    levels = np.quantile(clean, [0.05, 0.25, 0.5, 0.75, 0.95])
    ratios = np.sqrt(estimate.variance(levels) / noise.variance(levels))
    np.testing.assert_allclose(ratios, 1, atol=0.08)
    assert ratios.mean() == pytest.approx(1, abs=0.04)
    assert estimated_sigma(estimate.stabilise(noisy)) == pytest.approx(1, abs=0.04)


def test_contrast_tells_whether_noise_depends_on_the_signal() -> None:
    image = np.linspace(0, 100, 101)  # quantiles of 5 % and 95 %: 5 and 95
    assert PoissonGaussianNoise(2.0, 5.0).contrast(image) == pytest.approx(math.sqrt(215 / 35))
    assert PoissonGaussianNoise(2.0, 0.0, offset=10).contrast(image) == math.inf
    clean = read_image(SAMPLES / "camera.png").pixels
    for noise, lowest, highest in [
        (PoissonGaussianNoise(0.0, 10.0), 1.0, 1.15),
        (PoissonGaussianNoise(2.0, 5.0), 2.0, 4.0),
    ]:
        noisy = draw(noise, clean)
        assert lowest <= estimate_poisson_gaussian(noisy).contrast(noisy) <= highest


def test_pure_photon_noise_of_a_ramp() -> None:
    clean = np.linspace(20, 200, 256) * np.ones((256, 1))
    estimate = estimate_poisson_gaussian(draw(PoissonGaussianNoise(3.0, 0.0), clean))
    assert estimate.gain == pytest.approx(3, rel=0.04)
    assert estimate.variance(100) == pytest.approx(300, rel=0.03)


@pytest.mark.parametrize("size", [16, 64, 200])
def test_an_image_without_contrast_has_gaussian_noise(size: int) -> None:
    noisy = draw(PoissonGaussianNoise(0.0, 10.0), np.full((size, size), 100.0))
    estimate = estimate_poisson_gaussian(noisy)
    assert estimate.gain == 0
    assert estimate.read_sigma == pytest.approx(10, rel=0.05)


def test_channels_share_the_parameters() -> None:
    clean = np.linspace(20, 200, 128)[:, None] * np.ones((128, 128, 1)) * [1, 0.5, 0.8]
    estimate = estimate_poisson_gaussian(draw(PoissonGaussianNoise(3.0, 0.0), clean))
    assert estimate.gain == pytest.approx(3, rel=0.05)


def test_the_estimate_follows_a_change_of_units() -> None:
    clean = np.linspace(20, 200, 128) * np.ones((128, 1))
    noisy = draw(PoissonGaussianNoise(3.0, 5.0), clean)
    one, other = estimate_poisson_gaussian(noisy), estimate_poisson_gaussian(noisy / 255)
    assert other.gain == pytest.approx(one.gain / 255)
    np.testing.assert_allclose(other.stabilise(noisy / 255), one.stabilise(noisy))


def test_clipped_highlights_are_left_out() -> None:
    clean = np.linspace(20, 320, 256) * np.ones((256, 1))
    noisy = to_8bit(draw(PoissonGaussianNoise(3.0, 0.0), clean))
    means, _, _ = noise_curve(noisy)
    assert means.max() < 255 - 2 * math.sqrt(3 * 200)
    assert estimate_poisson_gaussian(noisy).gain == pytest.approx(3, rel=0.06)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8)), "too small"),
        (np.full((40, 40), np.nan), "too few complete patches"),
    ],
)
def test_what_cannot_be_measured_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        estimate_poisson_gaussian(image)


def test_an_image_without_noise_has_none() -> None:
    assert estimate_poisson_gaussian(np.full((40, 40), 7.0)) is None


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the images of ../shared/data")
@pytest.mark.parametrize(
    ("name", "gain"),
    [("Confocal_MICE_1", 7.0), ("Confocal_FISH_1", 8.0), ("TwoPhoton_MICE_1", 2.5)],
)
def test_a_microscope_image_gains_decibels(name: str, gain: float) -> None:
    """Over one estimated sigma for the whole image; 256×256 in the centre."""
    noisy, reference = (
        read_image(SHARED_DATA / "real_microscopy" / folder / f"{name}.png").pixels[
            128:384, 128:384
        ]
        for folder in ("noisy", "reference")
    )
    sigma = estimated_sigma(noisy)
    plain = denoise_image(noisy, sigma, preset="fast").image
    noise = estimate_poisson_gaussian(noisy)
    assert noise is not None
    restored = denoise_image(noisy, noise, preset="fast").image
    assert psnr(reference, restored) > psnr(reference, plain) + gain


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_the_estimate_scales_with_the_image_however_far(scale: float) -> None:
    rows, columns = np.mgrid[:96, :96]
    noisy = draw(PoissonGaussianNoise(2.0, 3.0), 40.0 + 80.0 * (columns > 48) + 0.2 * rows)
    near, far = estimate_poisson_gaussian(noisy), estimate_poisson_gaussian(noisy * scale)
    assert far.gain == pytest.approx(near.gain * scale, rel=1e-6)
    assert far.read_sigma == pytest.approx(near.read_sigma * scale, rel=1e-6)
