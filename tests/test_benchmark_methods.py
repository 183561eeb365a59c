"""Methods to compare with: filters as their libraries have them, and ZS-N2N."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import step_image
from skimage.restoration import denoise_tv_chambolle

from denoise.methods import classic
from denoise.methods.table import METHODS
from denoise.methods.zs_n2n import ZSN2NOptions, halves, zs_n2n
from denoise.metrics import psnr
from denoise.pipeline.run import Run


def test_a_filter_is_what_its_library_gives_by_hand() -> None:
    noisy = step_image(40, 48) + np.random.default_rng(0).normal(0, 20, (40, 48))
    chosen = classic.total_variation(noisy, 20, 0)
    by_hand = [denoise_tv_chambolle(noisy, weight=w * 20) for w in classic.TV_WEIGHTS]
    assert any(np.array_equal(chosen, one) for one in by_hand)
    errors = [psnr(step_image(40, 48), one) for one in by_hand]
    assert psnr(step_image(40, 48), chosen) > max(errors) - 0.5  # chosen without the clean one


def test_the_table_has_all_filters() -> None:
    names = [name for name, method in METHODS.items() if method.kind == "classic"]
    assert names == [*classic.FILTERS]


@pytest.mark.parametrize("name", ["blur", "tv", "nl-means", "wavelet"])
def test_a_filter_gives_the_same_picture_in_any_units(name: str) -> None:
    if name == "wavelet":
        pytest.importorskip("pywt")
    noisy = step_image(40, 48) + np.random.default_rng(0).normal(0, 20, (40, 48))
    first = METHODS[name].denoise(noisy, 20).image
    second = METHODS[name].denoise(noisy / 255 - 3, 20 / 255).image
    np.testing.assert_allclose(255 * (second + 3), first, atol=0.01)
    known = METHODS[name].denoise(noisy, 20, Run(data_range=255)).image
    by_hand = classic.FILTERS[name](noisy, 20, 0)
    assert np.array_equal(known, by_hand.astype(np.float32))


def test_halves_are_means_of_diagonals() -> None:
    import torch

    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    first, second = halves(image)
    assert first.flatten().tolist() == [(1 + 4) / 2, (3 + 6) / 2, (9 + 12) / 2, (11 + 14) / 2]
    assert second.flatten().tolist() == [(0 + 5) / 2, (2 + 7) / 2, (8 + 13) / 2, (10 + 15) / 2]


@pytest.mark.parametrize("channels", [None, 3])
def test_zs_n2n_learns_and_repeats_itself(channels: int | None) -> None:
    clean = step_image(40, 48) if channels is None else np.stack([step_image(40, 48)] * 3, -1)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    options = ZSN2NOptions(width=8, steps=150, learning_rate=5e-3)
    result = zs_n2n(noisy, 0, options=options)
    assert psnr(clean, result) > psnr(clean, noisy) + 2
    assert np.array_equal(result, zs_n2n(noisy, 0, options=options))
