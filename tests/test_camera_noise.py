"""The noise of cameras: what colour differences say of it."""

from __future__ import annotations

import numpy as np
import pytest
from test_spectrum import binomial_covariances, expected_energies, smooth_noise

from camera_noise import CAMERAS, Camera, bayer, bilinear, malvar
from denoise import ColouredNoise, estimate_noise
from denoise.noise.camera import camera_energies, has_colours, independent_colours
from denoise.noise.gaussian import OPPONENT_AXES
from denoise.noise.spectrum import ORDER, window_energies

SHAPE = (96, 96)


def texture(seed: int) -> np.ndarray:
    """Such as a lawn: energy that falls with the square of the frequency."""
    white = np.random.default_rng(seed).standard_normal(SHAPE)
    frequencies = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1]))
    found = np.fft.irfft2(np.fft.rfft2(white) / np.maximum(frequencies, 1 / SHAPE[0]), SHAPE)
    return np.asarray(found / found.std())


def rgb(noise: list[np.ndarray]) -> np.ndarray:
    return np.stack(noise, axis=2)


def energies_along_axes(image: np.ndarray) -> list[np.ndarray | None]:
    return [window_energies(image @ axis) for axis in OPPONENT_AXES]


def test_white_noise_is_no_camera_s_whatever_the_texture() -> None:
    noise = np.random.default_rng(0).normal(0, 5, (*SHAPE, 3))
    assert camera_energies(energies_along_axes(noise + 30 * texture(1)[..., None])) is None


def test_smooth_noise_has_the_energies_of_its_covariances() -> None:
    noise = 7 * rgb([smooth_noise(SHAPE, seed) for seed in range(3)])
    found = camera_energies(energies_along_axes(noise))
    assert found is not None
    expected = 7**2 * expected_energies(binomial_covariances())
    for energies in found:
        assert energies is not None
        strong = (ORDER > 0) & (ORDER < 8)
        np.testing.assert_allclose(energies[strong].mean(), expected[strong].mean(), rtol=0.2)


@pytest.mark.parametrize("contrast", [20.0, 60.0])
def test_colours_bound_the_noise_of_a_brightness_full_of_texture(contrast: float) -> None:
    noise = 7 * rgb([smooth_noise(SHAPE, seed) for seed in range(3)])
    found = camera_energies(energies_along_axes(noise + contrast * texture(3)[..., None]))
    assert found is not None and found[0] is not None
    expected = 7**2 * expected_energies(binomial_covariances())
    low = (ORDER > 0) & (ORDER < 4)
    assert expected[low].mean() < 1.4 * found[0][low].mean()
    assert found[0][low].mean() < 2 * expected[low].mean()


def test_colours_of_noise_are_independent_of_brightness_and_those_of_a_texture_are_not() -> None:
    noise = rgb([smooth_noise(SHAPE, seed) for seed in range(3)])
    tinted = 10 * texture(4)[..., None] * np.array([1.0, 0.8, 0.5])
    assert independent_colours(np.moveaxis(noise @ OPPONENT_AXES.T, 2, 0))
    assert not independent_colours(np.moveaxis((tinted + noise) @ OPPONENT_AXES.T, 2, 0))


def test_a_gray_image_of_three_channels_has_no_colours() -> None:
    gray = 90 + 10 * np.repeat(texture(5)[..., None], 3, axis=2)
    assert not has_colours(np.moveaxis(gray @ OPPONENT_AXES.T, 2, 0))
    gray[3, 4, 0] += 1
    assert has_colours(np.moveaxis(gray @ OPPONENT_AXES.T, 2, 0))


def scene() -> np.ndarray:
    """Soft shapes in several colours, as a lens draws them, without grain (height, width, 3)."""
    row, column = np.mgrid[:128, :128] / 128
    planes = [
        130 + 60 * np.tanh(4 * np.sin(7 * row + 5 * column * shift)) * (1 - 0.3 * shift)
        for shift in (0.2, 0.5, 0.8)
    ]
    return rgb(planes)


@pytest.mark.parametrize("camera", CAMERAS, ids=str)
def test_the_noise_of_simulated_cameras_is_found_and_none_without_it(camera: Camera) -> None:
    clean, noisy = camera.pair(scene(), 1.5e-3, np.random.default_rng(0))
    found = estimate_noise(noisy)
    assert isinstance(found, ColouredNoise)
    rms = float(np.sqrt(found.variance(noisy).mean()))
    assert 0.6 < rms / (noisy - clean).std() < 1.6
    assert estimate_noise(clean) is None


@pytest.mark.parametrize("interpolate", [bilinear, malvar])
def test_interpolation_keeps_what_was_seen_and_planes_of_one_slope(interpolate: object) -> None:
    row, column = np.mgrid[:20, :24].astype(float)
    plane = np.repeat((3 * row + 2 * column)[..., None], 3, axis=2)
    mosaic = bayer(plane.shape)
    found = interpolate((plane * mosaic).sum(2), mosaic)  # type: ignore[operator]
    np.testing.assert_allclose(found[4:-4, 4:-4], plane[4:-4, 4:-4], atol=1e-9)
    np.testing.assert_array_equal(found[mosaic == 1], plane[mosaic == 1])
