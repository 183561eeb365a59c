"""One model for several images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_AMPLITUDE, step_image

from denoise.errors import ImageError
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.pipeline.image import denoise_image
from denoise.pipeline.run import Run
from denoise.pipeline.series import denoise_series, learn_series

SIGMA = 20.0
RUN = Run(options=TINY_AMPLITUDE, data_range=255)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A still scene, five times, with noise and a light that goes down."""
    generator = np.random.default_rng(0)
    scene = step_image().astype(np.float64)
    return np.stack(
        [scene + 40 - 10 * t + generator.normal(0, SIGMA, scene.shape) for t in range(5)]
    )


def test_of_one_image_the_model_is_the_one_that_the_image_would_have(frames: np.ndarray) -> None:
    alone = denoise_image(frames[0], SIGMA, options=TINY_AMPLITUDE, seed=3, data_range=255)
    model = learn_series(frames[:1], SIGMA, replace(RUN, seed=3))
    for own, shared in zip(alone.models, model.models, strict=True):
        assert torch.equal(own.model.latent_effects(), shared.model.latent_effects())
        assert torch.equal(own.model.prior_probs, shared.model.prior_probs)


def test_patches_are_drawn_from_all_images_and_none_lies_across_two() -> None:
    generator = np.random.default_rng(1)
    parts = np.stack([generator.normal(level, 1.0, (12, 12)) for level in (0.0, 1000.0, 2000.0)])
    model = learn_series(parts, 1.0, Run(options=TINY_AMPLITUDE))
    # A patch across two images would have a step of 1000, which the model would learn.
    assert all(vae.model.latent_effects().abs().max() < 100 for vae in model.models)
    other = np.stack([parts[0], parts[1] * np.linspace(0, 1, 12), parts[2]])
    changed = learn_series(other, 1.0, Run(options=TINY_AMPLITUDE))
    assert changed.models[0].history[-1].elbo < model.models[0].history[-1].elbo - 1


def test_images_are_denoised_one_by_one_and_offsets_between_them_stay(frames: np.ndarray) -> None:
    model = learn_series(frames, SIGMA, RUN)
    shifted = np.stack([frames[0], frames[0] + 64.0, frames[0]])
    results = [one.image for one in denoise_series(shifted, model)]
    assert results[0].tobytes() == results[2].tobytes()
    np.testing.assert_allclose(results[1], results[0] + 64.0, atol=2e-3)
    again = [one.image for one in denoise_series(frames, model)]
    clean = step_image()
    for number, (noisy, image) in enumerate(zip(frames, again, strict=True)):
        truth = clean + 40.0 - 10 * number
        assert np.std(image - truth) < 0.7 * np.std(noisy - truth)


def test_few_photons_are_looked_at_twice_with_models_of_their_own() -> None:
    generator = np.random.default_rng(0)
    scene = 1 + step_image() / 64.0
    frames = generator.poisson(np.stack([scene] * 3)).astype(np.float64)
    dark = learn_series(frames, PoissonGaussianNoise(1, 0.1), Run(options=TINY_AMPLITUDE))
    assert len(dark.second) == len(dark.models)
    bright = learn_series(frames * 100, PoissonGaussianNoise(1, 10), Run(options=TINY_AMPLITUDE))
    assert bright.second == ()
    (result,) = denoise_series(frames[:1], dark)
    assert np.std(result.image - scene) < 0.7 * np.std(frames[0] - scene)


def test_models_that_were_learned_before_are_used(frames: np.ndarray) -> None:
    before = denoise_image(frames[0], SIGMA, options=TINY_AMPLITUDE, data_range=255)
    model = learn_series(frames, SIGMA, replace(RUN, models=before.models))
    (result,) = denoise_series(frames[1:2], model)
    expected = denoise_image(
        frames[1], SIGMA, options=TINY_AMPLITUDE, models=before.models, data_range=255
    )
    assert result.image.tobytes() == expected.image.tobytes()
    with pytest.raises(ImageError, match="learned on 1 channels, but the image has 3"):
        next(denoise_series([np.zeros((24, 24, 3))], model))
