"""Values out of proportion, huge ranges and senseless levels: a picture or one clear error."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import TINY, TINY_AMPLITUDE, estimated_sigma, step_image

from denoise.errors import OptionError
from denoise.methods.table import METHODS
from denoise.noise.extremes import REACH, without_extremes, working_sigma
from denoise.noise.gaussian import GaussianNoise, add_gaussian_noise
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.options import DenoiseOptions
from denoise.pipeline.image import denoise_image
from denoise.pipeline.run import Run
from denoise.presets import Overrides

SIGMA = 5.0


def noisy_image(side: int = 24, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return add_gaussian_noise(step_image(side, side), SIGMA, generator=generator)


def test_ordinary_images_have_no_extreme_values() -> None:
    pixels = noisy_image()[..., None]
    same, extreme = without_extremes(pixels, GaussianNoise(SIGMA))
    assert same is pixels
    assert not extreme.any()
    assert working_sigma(pixels, SIGMA) == SIGMA


def test_extreme_values_are_seen_as_the_nearest_ordinary_pixel() -> None:
    pixels = np.repeat(noisy_image()[..., None], 3, axis=2)
    pixels[10, 11, 1] = pixels.max() + 1.001 * REACH * SIGMA
    pixels[4, 4] = np.nan
    found, extreme = without_extremes(pixels, GaussianNoise(SIGMA))
    assert [*map(tuple, np.argwhere(extreme))] == [(10, 11, 1)]
    around = pixels[9:12, 10:13, 1].ravel()
    assert found[10, 11, 1] in around[around < 1e3]
    assert np.array_equal(found[~extreme], pixels[~extreme], equal_nan=True)


@pytest.mark.parametrize("size", [-1e30, 3e3, 65_535.0, 1e9, 1e30])
@pytest.mark.parametrize("options", [TINY, TINY_AMPLITUDE])
def test_a_hot_pixel_stays_as_it_is_and_does_not_harm_the_others(
    size: float, options: DenoiseOptions
) -> None:
    noisy = noisy_image()
    hot = noisy.copy()
    hot[12, 5] += size * SIGMA
    denoise = lambda image: denoise_image(  # noqa: E731
        image, SIGMA, options=options, with_uncertainty=True, device="cpu"
    )
    result, plain = denoise(hot), denoise(noisy)
    assert result.image[12, 5] == np.float32(hot[12, 5])
    others = np.ones_like(noisy, bool)
    others[12, 5] = False
    clean = step_image()
    with_it, without = (
        np.sqrt(np.mean((one.image - clean)[others] ** 2)) for one in (result, plain)
    )
    assert with_it < 1.1 * without
    assert result.uncertainty is not None
    assert result.uncertainty[12, 5] == np.float32(SIGMA)


@pytest.mark.parametrize("name", ["vq-vae", "blur", "nl-means"])
def test_other_methods_keep_a_hot_pixel_too(name: str) -> None:
    hot = noisy_image()
    hot[3, 20] = 1e9
    run = Run(overrides=Overrides(epochs=1, patch_budget=100), device="cpu")
    result = METHODS[name].denoise(hot, SIGMA, run)
    assert result.image[3, 20] == np.float32(1e9)
    assert np.abs(np.delete(result.image.ravel(), 3 * 24 + 20)).max() < 1e3


@pytest.mark.parametrize("size", [-1e30, -1e9, 3e7, 1e30])
def test_a_hot_pixel_stays_as_it_is_in_noise_that_grows_with_the_light(size: float) -> None:
    noise = PoissonGaussianNoise(gain=0.2, read_sigma=4.0)
    noisy = noisy_image()
    hot = noisy.copy()
    hot[12, 5] = size
    denoise = lambda image: denoise_image(  # noqa: E731
        image, noise, options=TINY_AMPLITUDE, with_uncertainty=True, device="cpu"
    )
    result, plain = denoise(hot), denoise(noisy)
    assert result.image[12, 5] == np.float32(size)
    others = np.ones_like(noisy, bool)
    others[12, 5] = False
    with_it, without = (
        np.sqrt(np.mean((one.image - step_image())[others] ** 2)) for one in (result, plain)
    )
    assert with_it < 1.1 * without
    assert result.uncertainty is not None
    assert result.uncertainty[12, 5] == np.float32(np.sqrt(noise.variance(size)))


def test_a_few_photons_in_the_dark_are_no_hot_pixels() -> None:
    dark = np.zeros((40, 40, 1))
    dark[3, 4], dark[20, 30] = 6, 40
    same, extreme = without_extremes(dark - 0.3, PoissonGaussianNoise(gain=1.0, read_sigma=0.0))
    assert not extreme.any()
    assert same[3, 4] == 5.7


@pytest.mark.parametrize("extent", [1e3, 3e4, 9e5])
@pytest.mark.parametrize("options", [TINY, TINY_AMPLITUDE])
def test_images_of_any_range_come_back_near_what_they_were(
    extent: float, options: DenoiseOptions
) -> None:
    clean = step_image() / 255 * extent
    noisy = add_gaussian_noise(clean, 1.0, generator=np.random.default_rng(1))
    result = denoise_image(noisy, 1.0, options=options, device="cpu")
    if working_sigma(noisy[..., None], 1.0) > 1:
        assert np.abs(result.image - noisy).max() <= 3.0 + 1e-6 * extent
    assert np.isfinite(result.image).all()


@pytest.mark.parametrize("size", [1e3, 1e6, 1e30, 1e200, -1e300])
def test_outliers_do_not_change_the_estimate(size: float) -> None:
    noisy = noisy_image(64)
    plain = estimated_sigma(noisy)
    noisy[40, 50] = size
    noisy[41, 9] = size / 3
    assert estimated_sigma(noisy) == pytest.approx(plain, rel=0.1)


@pytest.mark.parametrize("sigma", [1e300, 1e7, 1e-9, 1e-300])
def test_senseless_levels_are_refused_with_the_reason(sigma: float) -> None:
    what = "large" if sigma > 1 else "small"
    with pytest.raises(OptionError, match=f"sigma .* is too {what} for values .* units of the"):
        denoise_image(noisy_image(), sigma, options=TINY)


def test_a_black_image_can_have_any_noise() -> None:
    black = denoise_image(np.zeros((24, 24)), 25.0, options=TINY_AMPLITUDE, device="cpu")
    assert np.abs(black.image).max() < 1
