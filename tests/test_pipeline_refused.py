"""What the library refuses: arrays that are no image, noise, devices, learning that diverges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY, step_image

from denoise import denoise_image
from denoise.errors import DeviceError, ImageError, OptionError, TrainingError
from denoise.noise.gaussian import add_gaussian_noise

SIGMA = 20.0


@pytest.mark.parametrize("sigma", [-3.0, np.inf, np.nan])
def test_sigma_must_be_finite_and_not_negative(sigma: float) -> None:
    with pytest.raises(OptionError, match="sigma must be a finite number of at least 0, got"):
        denoise_image(np.zeros((16, 16)), sigma)


def test_without_noise_and_holes_there_is_nothing_to_do() -> None:
    with pytest.raises(OptionError, match="sigma is 0 and no value is missing"):
        denoise_image(np.zeros((16, 16)), 0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((16, 3)), "3x16 pixels, smaller than one 4x4 patch"),
        (np.zeros(16), r"got shape \(16,\)"),
        (np.zeros((2, 16, 16, 3)), "got shape"),
        (np.full((16, 16), np.inf), "infinite"),
        (np.full((16, 16), np.nan), "no value at all"),
        (np.zeros((0, 16)), "no value at all"),
    ],
)
def test_arrays_that_are_no_image_are_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        denoise_image(image, SIGMA, options=TINY, device="cpu")


@pytest.mark.parametrize("device", ["cuda:99", "mps:7", "toaster", "meta", "cpu:x"])
def test_devices_that_are_not_there_are_refused(device: str) -> None:
    with pytest.raises(DeviceError, match=device):
        denoise_image(np.zeros((16, 16)), SIGMA, options=TINY, device=device)


def test_divergence_is_an_error() -> None:
    options = replace(TINY, training=replace(TINY.training, learning_rate=(1e30, 1e38)))
    noisy = add_gaussian_noise(step_image(), SIGMA, generator=np.random.default_rng(0))
    with pytest.raises(TrainingError, match="ELBO became"):
        denoise_image(noisy, SIGMA, options=options, device="cpu")
