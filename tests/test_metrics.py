"""Quality against values from elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from denoise.metrics import psnr, ssim


def images(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    clean = generator.integers(0, 256, shape).astype(np.uint8)
    return clean, np.clip(clean + generator.normal(0, 30, shape), 0, 255).astype(np.uint8)


def test_psnr_by_hand() -> None:
    assert psnr([[0, 0]], [[10, 0]]) == pytest.approx(10 * math.log10(255**2 / 50))
    assert psnr([[3.0]], [[3.0]]) == math.inf
    # 8-bit arithmetic would wrap: 1 - 255 is 2 there.
    assert psnr(np.array([[1]], np.uint8), np.array([[255]], np.uint8)) < 0.1
    with pytest.raises(ValueError, match=r"shape \(1, 1\), image \(1, 2\)"):
        psnr([[1]], [[1, 2]])


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_psnr_and_ssim_equal_those_of_scikit_image(shape: tuple[int, ...]) -> None:
    clean, noisy = images(*shape)
    assert psnr(clean, noisy) == pytest.approx(
        peak_signal_noise_ratio(clean, noisy, data_range=255), rel=1e-9
    )
    channels = [()] if len(shape) == 2 else [(..., c) for c in range(3)]
    by_channel = [
        structural_similarity(
            clean[c].astype(float),
            noisy[c].astype(float),
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for c in channels
    ]
    assert ssim(clean, noisy) == pytest.approx(np.mean(by_channel))
    assert ssim(clean, clean) == pytest.approx(1)


def test_ssim_needs_its_window() -> None:
    assert ssim(*images(10, 40)) is None
