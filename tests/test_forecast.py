"""Expected time and memory: they add up, and grow with the image."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from test_cli_info import noisy_image

from denoise import GaussianNoise, PoissonGaussianNoise, preset
from denoise.pipeline.forecast import expected_gigabytes, forecast
from denoise.pipeline.tiles import tiles_of
from denoise.presets import PRESETS


def test_forecasts_add_up_and_grow_with_the_image(known_speed: float) -> None:
    small, large = (forecast(noisy_image(side), 12.0, device="cpu") for side in (48, 96))
    assert list(small) == list(PRESETS)
    for name in PRESETS:
        assert 0 < small[name].seconds < large[name].seconds
        assert small[name].gigabytes is not None and large[name].gigabytes is not None
        assert 0.3 < small[name].gigabytes <= large[name].gigabytes
    assert expected_gigabytes(preset("fast"), 4 * 10**6, 3) > 3 * large["fast"].gigabytes
    # Four epochs, one look at every patch, seven passes.
    assert small["fast"].seconds == pytest.approx(48 * 48 * (4 + 1 + 7) * known_speed)


def test_a_large_image_takes_the_memory_of_a_tile_and_the_time_of_its_halos(
    known_speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = preset("fast")
    whole, tiles = (expected_gigabytes(options, pixels, 1) for pixels in (2**22, 2**22 + 1))
    assert tiles == expected_gigabytes(options, 10**7, 1) < whole
    monkeypatch.setattr("denoise.pipeline.tiles.LARGE", 3000)
    monkeypatch.setattr("denoise.pipeline.forecast.tiles_of", partial(tiles_of, core=48, halo=12))
    found = forecast(noisy_image(96), 12.0, device="cpu", presets=["fast"])["fast"].seconds
    # Four epochs of 8192 patches; four tiles of 60×60 pixels are rebuilt and refined seven times.
    assert found == pytest.approx((4 * 8192 + 4 * 60 * 60 * (1 + 7)) * known_speed)


def test_images_of_a_series_share_the_learning_of_their_channel(known_speed: float) -> None:
    def seconds(**how: int) -> float:
        return forecast(noisy_image(), 12.0, device="cpu", presets=["fast"], **how)["fast"].seconds

    pixels = 48 * 48
    assert seconds(images=2) == pytest.approx(2 * seconds())
    # Four epochs of at most 8192 patches for each channel; all pixels are looked at eight times.
    for channels in (1, 2):
        expected = channels * 4 * 8192 + 12 * pixels * (1 + 7)
        assert seconds(images=12, channels=channels) == pytest.approx(expected * known_speed)


@pytest.mark.usefixtures("known_speed")
def test_few_photons_are_denoised_twice_and_without_noise_only_holes_are_filled_in() -> None:
    image = noisy_image().astype(float)

    def seconds(noise: float | PoissonGaussianNoise | GaussianNoise) -> float:
        return forecast(image, noise, device="cpu", presets=["fast"])["fast"].seconds

    assert seconds(PoissonGaussianNoise(50, 1)) == 2 * seconds(PoissonGaussianNoise(0.1, 10))
    noisy = seconds(10.0)
    image[20, 20] = np.nan
    assert seconds(0.0) < noisy < seconds(10.0)
