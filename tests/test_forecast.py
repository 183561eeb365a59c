"""Expected time and memory: they add up, and grow with the image."""

from __future__ import annotations

import numpy as np
import pytest
from test_cli_info import noisy_image

from denoise import GaussianNoise, PoissonGaussianNoise, preset
from denoise.forecast import expected_gigabytes, forecast
from denoise.presets import PRESETS


def test_forecasts_add_up_and_grow_with_the_image(known_speed: float) -> None:
    small, large = (forecast(noisy_image(side), 12.0, device="cpu") for side in (48, 96))
    assert list(small) == list(PRESETS)
    for name in PRESETS:
        assert 0 < small[name].seconds < large[name].seconds
        assert small[name].gigabytes is not None and large[name].gigabytes is not None
        assert 0.3 < small[name].gigabytes <= large[name].gigabytes
    assert expected_gigabytes(preset("fast"), 10**8, 3) > 10 * large["fast"].gigabytes
    # Four epochs, one look at every patch, five passes.
    assert small["fast"].seconds == pytest.approx(48 * 48 * (4 + 1 + 5) * known_speed)


@pytest.mark.usefixtures("known_speed")
def test_few_photons_are_denoised_twice_and_without_noise_only_holes_are_filled_in() -> None:
    image = noisy_image().astype(float)

    def seconds(noise: float | PoissonGaussianNoise | GaussianNoise) -> float:
        return forecast(image, noise, device="cpu", presets=["fast"])["fast"].seconds

    assert seconds(PoissonGaussianNoise(50, 1)) == 2 * seconds(PoissonGaussianNoise(0.1, 10))
    noisy = seconds(10.0)
    image[20, 20] = np.nan
    assert seconds(0.0) < noisy < seconds(10.0)
