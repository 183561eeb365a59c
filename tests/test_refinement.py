"""Block matching and group filters against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import step_image

from denoise.kernels.group_filters import low_rank_filter, wiener_filter
from denoise.kernels.matching import match_patches
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.options import RefinementOptions
from denoise.refinement.refine import opponent_colours, pass_count, refine_image

SMALL = RefinementOptions(
    patch_sizes=(4, 3), window=6, wiener_group=16, low_rank_group=30, feedback=(1.0, 0.1)
)


@pytest.mark.parametrize(
    ("dtype", "at_a_time"), [(torch.float32, 1), (torch.float64, 1), (torch.float64, 10_000)]
)
def test_matches_equal_brute_force(
    dtype: torch.dtype, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By compiled loops in float32, by plain tensors in float64."""
    monkeypatch.setattr("denoise.kernels.matching.REFERENCES_AT_A_TIME", at_a_time)
    monkeypatch.setattr("denoise.kernels.matching.OFFSETS_AT_A_TIME", 7)
    image = np.random.default_rng(0).normal(size=(13, 11))
    size, window, stride = 3, 4, 3
    groups = match_patches(
        torch.tensor(image, dtype=dtype), size, group_size=6, window=window, stride=stride
    ).numpy()
    rows, columns = 11, 9
    places = [(r, c) for r in [0, 3, 6, 9, 10] for c in [0, 3, 6, 8]]
    assert len(groups) == len(places)
    patch = {(r, c): image[r : r + size, c : c + size] for r in range(rows) for c in range(columns)}
    for (r, c), group in zip(places, groups, strict=True):
        near = [
            (float(((patch[r, c] - other) ** 2).sum()), y * columns + x)
            for (y, x), other in patch.items()
            if abs(y - r) <= window and abs(x - c) <= window
        ]
        assert group[0] == r * columns + c
        assert list(group) == [number for _, number in sorted(near)[:6]]


def test_groups_are_smaller_in_tiny_images() -> None:
    groups = match_patches(torch.rand(6, 5), 4, group_size=50, window=9, stride=2)
    assert groups.shape == (4, 6)
    assert bool((groups.sort(1).values == torch.arange(6)).all())


@pytest.mark.parametrize(("count", "values"), [(20, 6), (5, 9)])
def test_wiener_filter_is_the_posterior_mean_of_a_gaussian(count: int, values: int) -> None:
    generator = np.random.default_rng(1)
    noisy, pilot = generator.normal(size=(2, 3, count, values))
    result = wiener_filter(torch.tensor(noisy), torch.tensor(pilot), 0.5, boost=0.0).numpy()
    for y, p, estimate in zip(noisy, pilot, result, strict=True):
        mean, covariance = p.mean(0), np.cov(p, rowvar=False)
        gain = covariance @ np.linalg.inv(covariance + 0.5 * np.eye(values))
        np.testing.assert_allclose(estimate, mean + (y - mean) @ gain.T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("count", "values"), [(20, 6), (5, 9)])
def test_low_rank_filter_shrinks_singular_values(count: int, values: int) -> None:
    noisy = 3 * np.random.default_rng(2).normal(size=(4, count, values))
    noise = np.array([0.01, 0.3, 0.8, 50.0])
    result, weights = low_rank_filter(torch.tensor(noisy), torch.tensor(noise))
    for y, level, estimate in zip(noisy, noise, result.numpy(), strict=True):
        u, s, v = np.linalg.svd(y - y.mean(0), full_matrices=False)
        c = 2 * np.sqrt(2) * np.sqrt(count) * level**2
        shrunk = np.where(s**2 > 4 * c, (s + np.sqrt(np.maximum(s**2 - 4 * c, 0))) / 2, 0)
        np.testing.assert_allclose(estimate, y.mean(0) + (u * shrunk) @ v, rtol=1e-7, atol=1e-9)
    assert float(weights[3]) == 1
    assert bool((weights.diff() >= 0).all())


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("shape", [(40, 36), (40, 36, 3), (3, 40)])
def test_refinement_improves_a_poor_pilot(shape: tuple[int, ...], missing: bool) -> None:
    clean = step_image(shape[0], shape[1]).reshape(shape[0], shape[1], 1)
    clean = clean.repeat(3, 2) if len(shape) == 3 else clean
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    pilot = clean + (noisy - clean) / 2
    if missing:
        noisy[np.random.default_rng(1).random(noisy.shape) < 0.1] = np.nan
    passes: list[int] = []
    refined = refine_image(
        torch.tensor(noisy, dtype=torch.float32),
        torch.tensor(pilot, dtype=torch.float32),
        20.0,
        SMALL,
        on_pass=passes.append,
    )
    assert refined.shape == clean.shape
    assert psnr(clean, refined.numpy()) > psnr(clean, pilot) + 1
    assert passes == list(range(1, pass_count(SMALL, clean.shape[2]) + 1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_opponent_colours_are_a_rotation_with_brightness_first(channels: int) -> None:
    axes = opponent_colours(channels)
    eye = torch.eye(channels, dtype=torch.float64)
    torch.testing.assert_close(axes @ axes.T, eye)
    torch.testing.assert_close(axes[0], torch.full_like(axes[0], channels**-0.5))


def test_a_constant_image_stays_constant() -> None:
    image = torch.full((20, 20, 1), 50.0)
    refined = refine_image(image, image, 10.0, SMALL, on_pass=lambda done: None)
    torch.testing.assert_close(refined, image)


@pytest.mark.parametrize("patches", [10, 60])
def test_next_to_no_noise_leaves_the_patches_as_they_are(patches: int) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = 1e4 * torch.randn(3, patches, 1, generator=generator).expand(-1, -1, 36)  # singular
    noisy = noisy + torch.randn(noisy.shape, generator=generator)
    filtered = wiener_filter(noisy, noisy, 1e-9, boost=0.0)
    assert float((filtered - noisy).abs().max()) < 0.01 * float(noisy.abs().max())


def test_large_pieces_of_work_or_small_ones_make_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GPU filters many groups at a time, and fewer where its memory runs out."""
    clean = step_image(24, 30)[..., None]
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    data = torch.tensor(noisy, dtype=torch.float32)
    pilot = torch.tensor(clean + (noisy - clean) / 2, dtype=torch.float32)

    def refined() -> torch.Tensor:
        return refine_image(data, pilot, 20.0, SMALL, on_pass=lambda done: None)

    on_cores = refined()
    monkeypatch.setattr("denoise.refinement.passes._keeps_busy", lambda device: True)
    whole = refined()
    sizes: list[int] = []

    def limited(noisy: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(noisy))
        if len(noisy) > 10:
            raise torch.OutOfMemoryError("simulated")
        return low_rank_filter(noisy, noise)

    monkeypatch.setattr("denoise.refinement.passes.low_rank_filter", limited)
    halved = refined()
    assert max(sizes) > 10 >= min(sizes)
    torch.testing.assert_close(whole, on_cores, rtol=0, atol=1e-3)
    torch.testing.assert_close(halved, on_cores, rtol=0, atol=1e-3)
