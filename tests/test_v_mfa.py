"""v-MFA on images: seeds, merging, what it denoises and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import step_image

from denoise.errors import DenoiseError, ImageError, OptionError, TrainingError
from denoise.methods.mfa.merging import mean_image, median, median_image
from denoise.methods.mfa.mfa_model import EMBudget, MFAOptions, learn_mfa
from denoise.methods.mfa.seeding import afkmc2
from denoise.methods.mfa.v_mfa import denoise_with_v_mfa, mfa_options
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.patches import PatchGrid
from denoise.pipeline.run import Run
from denoise.presets import Overrides

TINY = MFAOptions(patch_size=4, components=8, factors=4, training=EMBudget(epochs=8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_seeds_are_drawn_by_their_squared_distance() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]])
    counts = torch.zeros(3, 3)
    generator = seeded()
    for _ in range(3000):
        first, second = afkmc2(points, 2, generator, chain_length=20).tolist()
        counts[first, second] += 1
    squares = (points - points.T).square()
    expected = squares / squares.sum(1, keepdim=True)
    torch.testing.assert_close(counts / counts.sum(1, keepdim=True), expected, atol=0.05, rtol=0)
    assert (counts.sum(1) / 3000 - 1 / 3).abs().max() < 0.04


def test_seeds_are_distinct_and_equal_points_are_no_trouble() -> None:
    assert len(set(afkmc2(torch.arange(40.0)[:, None], 12, seeded()).tolist())) == 12
    assert len(afkmc2(torch.ones(9, 2), 3, seeded())) == 3


@pytest.mark.parametrize("shape", [(9, 11, 1), (7, 6, 3), (4, 4, 2)])
@pytest.mark.parametrize("band_rows", [1, 3, 64])
def test_medians_are_those_over_all_patches(shape: tuple[int, int, int], band_rows: int) -> None:
    grid = PatchGrid(shape, 4, torch.device("cpu"))
    patches = torch.randn(len(grid), 16 * shape[2], generator=seeded())
    found = median_image(lambda index: patches[index], grid, band_rows=band_rows)
    values: dict[int, list[float]] = {}
    for number, patch in enumerate(patches):
        places = grid.first(torch.tensor([number])) + grid.offsets
        for place, value in zip(places.tolist(), patch.tolist(), strict=True):
            values.setdefault(place, []).append(value)
    expected = [np.median(values[place]) for place in range(found.numel())]
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-6)


@pytest.mark.parametrize("merge", [mean_image, median_image])
def test_merging_undoes_cutting(merge: object) -> None:
    image = torch.randn(9, 8, 3, generator=seeded())
    grid = PatchGrid.of(image, 3)
    merged = merge(lambda index: grid.extract(image, index), grid, band_rows=2)  # type: ignore[operator]
    torch.testing.assert_close(merged.float(), image)


def test_median_ignores_what_is_missing() -> None:
    values = torch.tensor([[3.0, 1.0], [torch.nan, 4.0], [1.0, 2.0], [torch.nan, 9.0]])
    assert median(values).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    "options",
    [
        TINY,
        replace(
            TINY,
            loadings="point",
            merge="mean",
            free_patch_mean=False,
            learn_noise_variance=True,
        ),
    ],
    ids=["ours", "published kind"],
)
def test_denoises_a_step_and_the_seed_decides(options: MFAOptions) -> None:
    clean = step_image(32, 32)
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    first, again, other = (
        denoise_with_v_mfa(noisy, 20, options, Run(seed=seed)) for seed in (3, 3, 4)
    )
    assert psnr(clean, first.image) > psnr(clean, noisy) + 2
    assert first.image.shape == noisy.shape and first.options == options
    np.testing.assert_array_equal(first.image, again.image)
    assert first.diagnostics == again.diagnostics
    assert np.abs(first.image - other.image).max() > 0
    assert all(np.isfinite(value) for value in first.diagnostics.values())


def test_brightness_passes_by_the_model() -> None:
    noisy = add_gaussian_noise(step_image(), 20, generator=np.random.default_rng(0))
    first, second = (denoise_with_v_mfa(image, 20, TINY).image for image in (noisy, noisy + 1000))
    assert np.abs(second - 1000 - first).mean() < 0.5


def test_colour_keeps_its_shape() -> None:
    clean = np.stack([step_image(), 255 - step_image(), step_image()], axis=-1)
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    result = denoise_with_v_mfa(noisy, 20, replace(TINY, patch_size=3))
    assert result.image.shape == noisy.shape and result.image.dtype == np.float32
    assert psnr(clean, result.image) > psnr(clean, noisy) + 2


def test_an_image_without_structure_is_no_trouble() -> None:
    result = denoise_with_v_mfa(np.full((12, 12), 7.0), 20, TINY)
    np.testing.assert_allclose(result.image, 7, atol=1e-3)


def test_a_budget_is_kept() -> None:
    options = mfa_options(Overrides(epochs=2, patch_budget=90))
    assert options.training == EMBudget(epochs=2, patch_budget=90)
    epochs: list[int] = []
    patches = torch.randn(90, 6, generator=seeded(2))
    model = learn_mfa(patches, options, generator=seeded(), on_epoch=epochs.append)
    assert epochs == [1, 2] and len(model.bounds) == 2 and len(model.mixture) == 3


def test_a_bound_that_is_not_finite_is_reported() -> None:
    with pytest.raises(TrainingError, match="epoch 1"):
        learn_mfa(torch.full((40, 4), torch.inf), TINY, generator=seeded())


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_size": 1},
        {"components": 0},
        {"factors": 0},
        {"kept": 16},
        {"random_tries": -1},
        {"merge": "mode"},
        {"loadings": "prior"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        MFAOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        mfa_options(Overrides(epochs=0))


@pytest.mark.parametrize(
    ("image", "sigma", "error"),
    [
        (np.zeros(5), 20, ImageError),
        (np.full((9, 9), np.nan), 20, ImageError),
        (np.where(np.eye(9) > 0, np.nan, 0.0), 20, ImageError),
        (np.zeros((3, 9)), 20, ImageError),
        (np.zeros((9, 9)), 0, OptionError),
    ],
)
def test_wrong_images_are_refused(
    image: np.ndarray, sigma: float, error: type[DenoiseError]
) -> None:
    with pytest.raises(error):
        denoise_with_v_mfa(image, sigma, TINY)
