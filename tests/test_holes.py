"""Missing pixels: known ones stay, holes are filled from their borders and by similar patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SAMPLES, TINY_AMPLITUDE
from numpy.typing import NDArray

from denoise import denoise_image
from denoise.files.images import read_image
from denoise.kernels.matching import match_patches
from denoise.metrics import psnr
from denoise.options import RefinementOptions
from denoise.patches import PatchGrid
from denoise.presets import preset_for
from denoise.refinement.holes import _levels, fill_holes

OPTIONS = RefinementOptions(window=12, group_size=20, hole_passes=60)


def texture(side: int = 48) -> NDArray[np.float64]:
    """A pattern that repeats, so that a hole in it has one natural filling."""
    rows, columns = np.mgrid[:side, :side]
    return 128 + 60 * np.sin(rows / 2) + 40 * np.cos(columns)


def filled(image: NDArray[np.float64], estimate: float, **settings: float) -> NDArray[np.float64]:
    start = torch.full((*image.shape, 1), estimate, dtype=torch.float64)
    given = {"sigma": 0.0, "data_range": 200.0} | settings
    done: list[int] = []
    result = fill_holes(
        torch.as_tensor(image)[..., None], start, OPTIONS, **given, on_pass=done.append
    )
    assert done == list(range(1, len(done) + 1))
    assert len(done) <= OPTIONS.hole_passes
    return result[..., 0].numpy()


def test_a_repeating_texture_is_continued_and_what_is_known_stays() -> None:
    clean = texture()
    image = clean.copy()
    image[20:24, 15:30] = np.nan
    hidden = np.isnan(image)
    result = filled(image, 128.0)
    assert np.array_equal(result[~hidden], clean[~hidden])
    before = np.abs(clean[hidden] - 128).mean()
    assert np.abs(result[hidden] - clean[hidden]).mean() < before / 10


@pytest.mark.parametrize("colours", [1, 3])
def test_a_constant_stays_constant(colours: int) -> None:
    image = torch.full((14, 14, colours), 77.0, dtype=torch.float64)
    given = image.clone()
    given[4:10, 8] = torch.nan
    result = fill_holes(
        given, image, OPTIONS, sigma=0.0, data_range=10.0, on_pass=lambda done: None
    )
    torch.testing.assert_close(result, image, rtol=0, atol=1e-3)


def test_the_assumed_noise_falls_to_a_tenth_or_to_the_noise_that_there_is() -> None:
    half = torch.tensor([0.0, 0.5, 0.5])
    levels = _levels(half, 0.0, 255.0, 12)
    assert len(levels) == 12
    assert levels[0] == pytest.approx(10)
    assert levels[-1] == pytest.approx(1)
    ratios = np.diff(np.log(levels))
    np.testing.assert_allclose(ratios, ratios[0])
    noisy = _levels(half, 25.0, 255.0, 12)
    assert (noisy[0], noisy[-1]) == pytest.approx((40, 25))
    assert len(noisy) < 5
    assert _levels(half, 0.0, 255.0, 1) == pytest.approx([1])


def test_patches_at_borders_are_those_that_see_both() -> None:
    missing = torch.rand(9, 11, generator=torch.Generator().manual_seed(0)) < 0.9
    grid = PatchGrid((9, 11, 2), 3, torch.device("cpu"))
    expected = []
    for number in range(len(grid)):
        row, column = divmod(number, grid.columns)
        part = missing[row : row + 3, column : column + 3]
        if part.any() and not part.all():
            expected.append(number)
    assert grid.at_borders(missing).tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_without_noise_known_values_stay_to_the_last_bit(dtype: type) -> None:
    clean = (texture(24)).astype(dtype)
    image = clean.astype(np.float64 if dtype is np.float64 else np.float32)
    image[5:9, 5:9] = np.nan
    hidden = np.isnan(image)
    result = denoise_image(image, 0, options=TINY_AMPLITUDE, device="cpu", with_uncertainty=True)
    assert np.array_equal(result.image[~hidden], clean[~hidden].astype(np.float32))
    assert np.isfinite(result.image).all()
    assert result.uncertainty is not None
    assert (result.uncertainty[~hidden] == 0).all()
    assert (result.uncertainty[hidden] > 0).all()


def test_half_of_a_photograph_is_filled_in_better_than_by_the_model_alone() -> None:
    clean = read_image(SAMPLES / "camera.png").pixels[60:110, 60:110].astype(np.float64)
    image = clean.copy()
    image[np.random.default_rng(0).random(clean.shape) < 0.5] = np.nan
    options = preset_for("fast", 10)
    alone = replace(options, refinement=None)
    model, whole = (
        psnr(clean, denoise_image(image, 0, options=one, device="cpu").image)
        for one in (alone, options)
    )
    assert whole > model + 0.7


@pytest.mark.parametrize("near", [0.002, 0.3, 1.0])
def test_groups_that_are_wanted_are_those_of_a_search_for_all(near: float) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(60, 50, generator=generator)
    wanted = torch.rand(56, 46, generator=generator) < near
    settings = {"group_size": 9, "window": 6, "stride": 3}
    everywhere = match_patches(image, 5, **settings)
    some = match_patches(image, 5, **settings, wanted=wanted)
    chosen = wanted.flatten()
    assert torch.equal(some[chosen[some[:, 0]]], everywhere[chosen[everywhere[:, 0]]])
    assert len(some) <= len(everywhere)
    assert near < 0.3 or len(some) > 0.9 * len(everywhere)


def test_where_no_group_is_wanted_there_is_none() -> None:
    found = match_patches(
        *(torch.zeros(20, 20), 4),
        group_size=5,
        window=4,
        stride=3,
        wanted=torch.zeros(17, 17, dtype=torch.bool),
    )
    assert found.shape == (0, 5)
