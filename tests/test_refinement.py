"""Block matching and group filters against plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import step_image

from denoise.kernels.choice import use
from denoise.kernels.group_filters import LEAST_GAIN, filter_groups, filter_on_cpu
from denoise.kernels.matching import match_patches
from denoise.metrics import psnr
from denoise.noise.colours import opponent_axes
from denoise.noise.gaussian import add_gaussian_noise
from denoise.options import RefinementOptions
from denoise.refinement.groups import similar_patches
from denoise.refinement.passes import filter_image, noise_left, spread
from denoise.refinement.refine import pass_count, refine_image

SMALL = RefinementOptions(
    patch_sizes=(4, 3),
    window=6,
    group_size=16,
    passes_per_match=1,
    noise_kept=(1.0, 0.4, 0.0),
    last_patch_sizes=(3, 5),
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
        assert sorted(group) == sorted(number for _, number in sorted(near)[:6])


def test_groups_are_smaller_in_tiny_images() -> None:
    groups = match_patches(torch.rand(6, 5), 4, group_size=50, window=9, stride=2)
    assert groups.shape == (4, 6)
    assert bool((groups.sort(1).values == torch.arange(6)).all())


def test_images_wider_than_a_strip_are_matched_as_by_plain_tensors() -> None:
    image = torch.randn(9, 230, generator=torch.Generator().manual_seed(0))
    compiled, plain = (
        match_patches(one, 4, group_size=7, window=3, stride=3) for one in (image, image.double())
    )
    assert torch.equal(compiled[:, 0], plain[:, 0])
    assert torch.equal(compiled.sort(1).values, plain.sort(1).values)


def test_of_equal_patches_the_first_ones_are_taken() -> None:
    for own, *others in match_patches(
        torch.ones(9, 230), 4, group_size=7, window=3, stride=3
    ).tolist():
        row, column = divmod(own, 227)
        near = [
            227 * y + x
            for y in range(max(row - 3, 0), min(row + 3, 5) + 1)
            for x in range(max(column - 3, 0), min(column + 3, 226) + 1)
        ]
        assert others == [number for number in near if number != own][:6]


@pytest.mark.parametrize(("count", "values"), [(20, 6), (5, 9)])
def test_filters_are_the_best_linear_ones_for_the_pilot(count: int, values: int) -> None:
    """Across patches the weights of least risk, within them the Gaussian posterior mean."""
    generator = np.random.default_rng(1)
    noisy, pilot = generator.normal(size=(2, 3, count, values))
    ridge = np.array([0.5, 7.0, 100.0])
    result, weights = filter_groups(*(torch.tensor(one) for one in (noisy, pilot, ridge)))
    for y, p, d, estimate, weight in zip(
        noisy, pilot, ridge, result.numpy(), weights.numpy(), strict=True
    ):
        x, centred = p - p.mean(0), y - y.mean(0)
        risk = x @ x.T + d * np.eye(count)
        across = x @ x.T @ np.linalg.inv(risk) @ centred
        covariance = x.T @ x / count
        within = np.linalg.inv(covariance + d / count * np.eye(values)) @ covariance
        expected = y.mean(0) + (across + centred @ within) / 2
        np.testing.assert_allclose(estimate, expected, rtol=1e-9, atol=1e-9)
        gain = (within**2).sum(0)
        np.testing.assert_allclose(weight, LEAST_GAIN / (LEAST_GAIN + gain), rtol=1e-9)


@pytest.mark.parametrize(("count", "values"), [(20, 6), (5, 9)])
def test_the_filter_within_patches_is_the_posterior_mean_of_a_gaussian(
    count: int, values: int
) -> None:
    generator = np.random.default_rng(1)
    noisy, pilot = generator.normal(size=(2, 3, count, values))
    ridge = torch.full((3,), 0.5 * count, dtype=torch.float64)
    result, _ = filter_groups(torch.tensor(noisy), torch.tensor(pilot), ridge, across_patches=False)
    for y, p, estimate in zip(noisy, pilot, result.numpy(), strict=True):
        mean, covariance = p.mean(0), np.cov(p, rowvar=False, ddof=0)
        gain = covariance @ np.linalg.inv(covariance + 0.5 * np.eye(values))
        np.testing.assert_allclose(estimate, mean + (y - mean) @ gain.T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize(("size", "members"), [(6, 40), (5, 13), (7, 41), (3, 1)])
def test_compiled_filters_give_the_image_of_plain_tensors(
    size: int, members: int, across: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    pilot = torch.randn(40, 60, generator=generator).cumsum(0)
    data = pilot + torch.randn(40, 60, generator=generator)
    groups = match_patches(pilot, size, group_size=members, window=9, stride=3)
    ridge = 1 + 40 * torch.rand(len(groups), generator=generator)
    compiled = filter_on_cpu(data, pilot, groups, ridge, size, across_patches=across)
    exact = data.double(), pilot.double(), groups, ridge.double(), size
    with use("plain"):
        plain = filter_image(*exact, across_patches=across)
    torch.testing.assert_close(compiled, plain.float(), rtol=0, atol=1e-3)
    same = filter_image(*exact, across_patches=across)
    torch.testing.assert_close(same, plain, rtol=0, atol=1e-9)


def test_the_noise_that_is_left_is_what_was_not_taken_away() -> None:
    generator = torch.Generator().manual_seed(0)
    noise, other = torch.randn(2, 60, 60, generator=generator)
    deviation = torch.linspace(0.5, 2, 60).expand(60, -1)
    noise = deviation * noise
    groups = match_patches(other, 6, group_size=40, window=20, stride=3)
    for left in (1.0, 0.6, 0.0):
        found = noise_left(noise, left * noise, deviation.square(), groups, 6)
        torch.testing.assert_close(found.mean(), torch.tensor(left), rtol=0, atol=0.02)
    numbers = torch.arange(len(groups), dtype=torch.float32)
    image = spread(numbers, groups, noise, 6)
    assert (float(image[0, 0]), float(image[-1, -1])) == (0, len(groups) - 1)


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
        torch.tensor(noisy / 20, dtype=torch.float32),
        torch.tensor(pilot / 20, dtype=torch.float32),
        SMALL,
        on_pass=passes.append,
    )
    assert refined.shape == clean.shape
    assert psnr(clean, 20 * refined.numpy()) > psnr(clean, pilot) + 1
    assert passes == list(range(1, pass_count(SMALL) + 1))


def test_noise_of_any_variance_is_noise_in_other_units() -> None:
    generator = torch.Generator().manual_seed(0)
    pilot = torch.tensor(step_image(30, 20) / 20, dtype=torch.float32)[..., None]
    noisy = pilot + torch.randn(pilot.shape, generator=generator)
    usual = refine_image(noisy, pilot, SMALL, on_pass=lambda done: None)
    variance = torch.full((30, 20), 0.25)
    other = refine_image(noisy / 2, pilot / 2, SMALL, variance=variance, on_pass=lambda done: None)
    assert torch.equal(2 * other, usual)


def test_the_chain_filters_opponent_colours_in_some_passes_and_brightness_in_all() -> None:
    """With one of three, opponent colours come out as from a chain of the last pass alone."""
    generator = torch.Generator().manual_seed(0)
    pilot = torch.tensor(step_image(30, 20) / 20, dtype=torch.float32)[..., None].repeat(1, 1, 3)
    noisy = pilot + torch.randn(pilot.shape, generator=generator)
    one_match = replace(SMALL, passes_per_match=3, last_patch_sizes=())

    def refined(**changes: object) -> torch.Tensor:
        options = replace(one_match, **changes)  # type: ignore[arg-type]
        image = refine_image(noisy, pilot, options, on_pass=lambda done: None)
        return image @ torch.tensor(opponent_axes(3).T, dtype=torch.float32)

    some, every = (refined(passes_per_colour_pass=count) for count in (3, 1))
    last = refined(noise_kept=SMALL.noise_kept[-1:])
    torch.testing.assert_close(some[..., 0], every[..., 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(some[..., 1:], last[..., 1:], rtol=0, atol=1e-5)
    assert float((some - every)[..., 1:].abs().max()) > 0.01
    assert float((some - last)[..., 0].abs().max()) > 0.01


def test_a_constant_image_stays_constant() -> None:
    image = torch.full((20, 20, 1), 50.0)
    refined = refine_image(image, image, SMALL, on_pass=lambda done: None)
    torch.testing.assert_close(refined, image)


@pytest.mark.parametrize("patches", [10, 60])
@pytest.mark.parametrize(
    ("largest", "noise", "dtype"), [(30.0, 4.0, torch.float32), (1e4, 1e-9, torch.float64)]
)
def test_little_noise_leaves_the_patches_as_they_are(
    largest: float, noise: float, dtype: torch.dtype, patches: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(3, patches, 1, generator=generator, dtype=dtype).expand(-1, -1, 36)
    details = torch.randn(noisy.shape, generator=generator, dtype=dtype)
    noisy = largest * noisy + details  # singular but for the details
    filtered, _ = filter_groups(noisy, noisy, torch.full((3,), noise, dtype=dtype))
    assert float((filtered - noisy).abs().max()) < 0.01 * float(noisy.abs().max())


def test_values_far_apart_are_filtered_in_float64() -> None:
    """In float32 the error would be more than the noise."""
    clean = 2000 * np.random.default_rng(0).normal(size=(30, 30)).cumsum(0)[..., None]
    noisy = clean + np.random.default_rng(1).normal(size=clean.shape)
    refined = refine_image(
        torch.tensor(noisy), torch.tensor(clean), SMALL, on_pass=lambda done: None
    )
    assert float((refined - torch.tensor(clean)).square().mean()) < 1.1


def test_large_pieces_of_work_or_small_ones_make_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain tensors filter many groups at a time, and fewer where memory runs out."""
    clean = step_image(24, 30)[..., None]
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    data = torch.tensor(noisy / 20, dtype=torch.float32)
    pilot = torch.tensor((clean + (noisy - clean) / 2) / 20, dtype=torch.float32)

    def refined() -> torch.Tensor:
        return refine_image(data, pilot, SMALL, on_pass=lambda done: None)

    compiled = refined()
    sizes: list[int] = []

    def limited(*groups: torch.Tensor, **how: bool) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(groups[0]))
        if len(groups[0]) > 10:
            raise torch.OutOfMemoryError("simulated")
        return filter_groups(*groups, **how)

    with use("plain"):
        whole = refined()
        monkeypatch.setattr("denoise.refinement.passes.filter_groups", limited)
        halved = refined()
    assert max(sizes) > 10 >= min(sizes)
    for other in (whole, halved):
        torch.testing.assert_close(other, compiled, rtol=0, atol=1e-3)


def test_the_last_passes_filter_the_data_with_the_mean_of_the_chains_as_a_guide() -> None:
    """One pass more with a given size is the Gaussian posterior mean of all groups, merged."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.tensor(step_image(20, 24) / 20, dtype=torch.float32)[..., None]
    noisy = clean + torch.randn(clean.shape, generator=generator)
    before = replace(SMALL, last_patch_sizes=())
    guide = refine_image(noisy, clean, before, on_pass=lambda done: None)[..., 0]

    def one_more(size: int) -> torch.Tensor:
        groups = similar_patches(guide, size, SMALL.wiener_group, SMALL)
        ridge = torch.full_like(groups[:, 0], groups.shape[1], dtype=guide.dtype)
        return filter_image(noisy[..., 0], guide, groups, ridge, size, across_patches=False)

    refined = refine_image(noisy, clean, SMALL, on_pass=lambda done: None)[..., 0]
    torch.testing.assert_close(refined, (one_more(3) + one_more(5)) / 2)
    assert float((refined - guide).abs().max()) > 0.1
