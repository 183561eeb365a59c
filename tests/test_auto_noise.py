"""What --noise auto finds: every kind of noise on pictures whose noise is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve, zoom
from test_spectrum import BINOMIAL, smooth_noise

from denoise import ColouredNoise, GaussianNoise, Noise, PoissonGaussianNoise, estimate_noise

SAMPLES = Path(__file__).parents[1] / "sample_images"
SHARED = Path(__file__).parents[2] / "shared" / "data"


def sample(name: str, side: int = 160) -> np.ndarray:
    """The upper left part of a clean picture; the whole has a side of 256."""
    return np.asarray(Image.open(SAMPLES / f"{name}.png"), np.float64)[:side, :side]


def rms(noise: Noise | None, image: np.ndarray) -> float:
    assert noise is not None
    return float(np.sqrt(noise.variance(image).mean()))


@pytest.mark.parametrize(("name", "side"), [("camera", 160), ("astronaut", 160), ("chelsea", 256)])
def test_a_clean_picture_has_no_noise_to_speak_of(name: str, side: int) -> None:
    assert estimate_noise(sample(name, side)) is None


@pytest.mark.parametrize(("name", "sigma"), [("camera", 10), ("camera", 50), ("chelsea", 25)])
def test_white_noise_is_white(name: str, sigma: float) -> None:
    clean = sample(name)
    noisy = clean + np.random.default_rng(1).normal(0, sigma, clean.shape)
    found = estimate_noise(noisy)
    assert isinstance(found, GaussianNoise)
    assert found.sigma == pytest.approx(sigma, rel=0.05)
    assert found == estimate_noise(noisy, "gaussian")
    if clean.ndim == 3:
        return
    # In 8 bits, clipped, it is hardly another.
    clipped = np.clip(np.rint(noisy), 0, 255)
    assert rms(estimate_noise(clipped), clipped) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize(("name", "side"), [("camera", 160), ("chelsea", 256)])
def test_filtered_noise_is_correlated(name: str, side: int) -> None:
    clean = sample(name, side)
    noise = np.stack([smooth_noise(clean.shape[:2], seed) for seed in range(3)], axis=2)
    noisy = clean + 15 * (noise[..., 0] if clean.ndim == 2 else noise)
    found = estimate_noise(noisy)
    assert isinstance(found, ColouredNoise)
    assert found.correlation_length in (1, 2, 3)
    assert rms(found, noisy) == pytest.approx(15, rel=0.3)


def test_enlarged_and_demosaicked_noise_is_correlated() -> None:
    clean = sample("astronaut", 112)
    noisy = clean + np.random.default_rng(1).normal(0, 15, clean.shape)
    larger = zoom(noisy, (1.5, 1.5, 1), order=3)
    truth = (larger - zoom(clean, (1.5, 1.5, 1), order=3)).std()
    found = estimate_noise(larger)
    assert isinstance(found, ColouredNoise)
    assert rms(found, larger) == pytest.approx(truth, rel=0.25)
    demosaicked = bilinear(noisy)
    found = estimate_noise(demosaicked)
    assert isinstance(found, ColouredNoise)
    assert rms(found, noisy) == pytest.approx((demosaicked - bilinear(clean)).std(), rel=0.3)


def bilinear(image: np.ndarray) -> np.ndarray:
    """Colours of a Bayer pattern, filled in linearly."""
    seen = np.zeros(image.shape)
    seen[::2, ::2, 0] = seen[1::2, 1::2, 2] = seen[::2, 1::2, 1] = seen[1::2, ::2, 1] = 1
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    kernels = (4 * BINOMIAL, cross, 4 * BINOMIAL)
    planes = [convolve(image[..., c] * seen[..., c], kernels[c], mode="mirror") for c in range(3)]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize(("gain", "read"), [(2.0, 3.0), (6.0, 0.0)])
def test_photon_noise_grows_with_the_light(gain: float, read: float) -> None:
    clean, generator = sample("camera"), np.random.default_rng(2)
    noisy = gain * generator.poisson(clean / gain) + generator.normal(0, read, clean.shape)
    found = estimate_noise(noisy)
    assert isinstance(found, PoissonGaussianNoise)
    assert found.gain == pytest.approx(gain, rel=0.12)


def test_channels_have_their_own_noise() -> None:
    clean = sample("chelsea", 192)
    sigmas = np.array([40.0, 20.0, 30.0])
    noisy = clean + np.random.default_rng(0).normal(0, 1, clean.shape) * sigmas
    found = estimate_noise(noisy)
    assert isinstance(found, ColouredNoise) and found.growth is None
    assert np.sqrt(found.variance(np.zeros(3))) == pytest.approx(sigmas, rel=0.06)
    assert found.correlation_length == 0


def test_channels_may_share_their_noise() -> None:
    clean = sample("chelsea")
    shared = np.random.default_rng(0).normal(0, 20, (*clean.shape[:2], 1))
    own = np.random.default_rng(1).normal(0, 5, clean.shape)
    found = estimate_noise(clean + shared + own)
    assert isinstance(found, ColouredNoise) and found.axes is not None
    # The axes are in order of their variance; that of brightness has the shared part.
    assert np.abs(found.axes[-1]) == pytest.approx(3**-0.5, abs=0.05)
    expected = [1.0, 1.0, (3 * 20**2 + 5**2) / 5**2]
    ratios = [table[0][0] / found.covariances[0][0][0] for table in found.covariances]
    assert ratios == pytest.approx(expected, rel=0.4)


def test_noise_alone_is_measured_exactly_as_on_a_flat_exposure() -> None:
    flat = 100 + 4 * smooth_noise((128, 128), seed=1)
    found = estimate_noise(flat)
    assert isinstance(found, ColouredNoise)
    assert found.sigma == pytest.approx(4, rel=0.06)
    table = np.array(found.covariances[0]) / found.sigma**2
    assert table[0, 1] == pytest.approx(2 / 3, abs=0.06)
    assert table[1, 1] == pytest.approx(4 / 9, abs=0.08)


def test_the_estimate_is_the_same_every_time_and_in_all_units() -> None:
    noisy = sample("camera", 80) + 15 * smooth_noise((80, 80), seed=9)
    first = estimate_noise(noisy)
    assert first == estimate_noise(noisy)
    assert isinstance(first, ColouredNoise)
    scaled = estimate_noise(noisy / 255)
    assert isinstance(scaled, ColouredNoise)
    np.testing.assert_allclose(
        255**2 * np.array(scaled.covariances), first.covariances, rtol=1e-6, atol=1e-6
    )


@pytest.mark.skipif(not SHARED.exists(), reason="needs the real pairs of ../shared/data")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("real_microscopy/noisy/Confocal_BPAE_B_1.png", PoissonGaussianNoise),
        ("real_microscopy/noisy/Confocal_FISH_1.png", PoissonGaussianNoise),
        ("real_microscopy/noisy/TwoPhoton_MICE_1.png", PoissonGaussianNoise),
        ("real_microscopy/noisy/WideField_BPAE_R_1.png", ColouredNoise),
        ("real_camera/noisy/Canon80D_print.JPG", ColouredNoise),
        pytest.param("real_camera/noisy/SonyA7II_class.JPG", ColouredNoise, marks=pytest.mark.slow),
    ],
)
def test_real_noise_is_of_the_kind_that_its_reference_shows(name: str, kind: type[Noise]) -> None:
    noisy, clean = (
        np.asarray(Image.open(SHARED / one), np.float64)[:160, :160]
        for one in (name, name.replace("noisy", "reference"))
    )
    found = estimate_noise(noisy)
    assert isinstance(found, kind)
    assert 0.5 < rms(found, noisy) / (noisy - clean).std() < 1.5
