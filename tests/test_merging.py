"""Merging patches undoes extracting them: in floats, and in the integers of a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch

from denoise.kernels import merging
from denoise.kernels.choice import use
from denoise.patches import PatchGrid, PatchMerger

SHAPES = [((9, 13, 1), 4), ((16, 11, 3), 5), ((7, 7, 3), 7), ((8, 31, 1), 3), ((12, 5, 4), 2)]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


@pytest.fixture(params=["floats", pytest.param("integers", marks=needs_triton)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """For both ways to add up; the kernel runs in Triton's interpreter where there is no GPU."""
    integers = request.param == "integers"
    with use("triton" if integers else "plain"):
        yield DEVICE if integers else torch.device("cpu")


def random_image(shape: tuple[int, int, int], device: torch.device) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)


def shuffled(count: int, device: torch.device) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(2)).to(device)


@pytest.mark.parametrize(("shape", "patch_size"), SHAPES)
@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_merge_undoes_extract(
    device: torch.device, shape: tuple[int, int, int], patch_size: int, chunk_size: int
) -> None:
    image, grid = random_image(shape, device), PatchGrid(shape, patch_size, device)
    merger = PatchMerger(grid, like=image)
    for index in shuffled(len(grid), device).split(chunk_size):
        merger.add(grid.extract(image, index), index, torch.ones_like(index, dtype=torch.float32))
    torch.testing.assert_close(merger.image(), image.double(), rtol=1e-9, atol=1e-9)


def test_merge_averages_overlaps_and_marks_what_is_not_covered(device: torch.device) -> None:
    grid = PatchGrid((2, 4, 1), 2, device)
    patches = torch.tensor([[1.0] * 4, [4.0] * 4], device=device)
    merger = PatchMerger(grid, like=patches)
    merger.add(patches, torch.arange(2, device=device), torch.tensor([0.5, 1.0], device=device))
    expected = torch.tensor([[1.0, 3.0, 4.0, torch.nan]] * 2, dtype=torch.float64)
    torch.testing.assert_close(merger.image()[..., 0].cpu(), expected, equal_nan=True)


def test_merge_is_exact_whatever_the_order(device: torch.device) -> None:
    shape = (20, 20, 1)
    grid = PatchGrid(shape, 8, device)
    patches = 100 * torch.randn(len(grid), 64, generator=torch.Generator().manual_seed(1))
    patches = patches.to(device)
    images = []
    for order in (torch.arange(len(grid), device=device), shuffled(len(grid), device)):
        merger = PatchMerger(grid, like=patches)
        for index in order.split(17):
            ones = torch.ones_like(index, dtype=torch.float32)
            merger.add(patches[index], index, ones)
        images.append(merger.image().float())
    assert torch.equal(*images)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_value_that_is_not_finite_shows(device: torch.device, value: float) -> None:
    grid = PatchGrid((2, 3, 1), 2, device)
    patches = torch.tensor([[1.0, value, 1.0, 1.0], [2.0] * 4], device=device)
    merger = PatchMerger(grid, like=torch.tensor([1.0, value], device=device))
    merger.add(patches, torch.arange(2, device=device), torch.ones(2, device=device))
    merged = merger.image()[..., 0].cpu()
    assert not merged[0, 1].isfinite()
    merged[0, 1] = 0
    expected = torch.tensor([[1.0, 0, 2.0], [1.0, 1.5, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(merged, expected)


def test_values_of_an_unknown_size_are_added_in_floats(device: torch.device) -> None:
    grid = PatchGrid((1, 2, 1), 1, device)
    merger = PatchMerger(grid, like=None)
    values = torch.tensor([[1e-20], [1e20]], device=device)
    merger.add(values, torch.arange(2, device=device), torch.ones(2, device=device))
    torch.testing.assert_close(merger.image().flatten().float(), values.flatten())


def test_values_may_be_much_larger_than_expected_but_not_without_limit(
    device: torch.device,
) -> None:
    grid = PatchGrid((1, 3, 1), 1, device)
    values = torch.tensor([[-60.0], [1e-6], [60.0]], device=device)
    merger = PatchMerger(grid, like=torch.tensor([torch.nan, -1.0], device=device))
    for _ in range(50):
        merger.add(values, torch.arange(3, device=device), torch.ones(3, device=device))
    torch.testing.assert_close(merger.image().flatten().cpu().float(), values.flatten().cpu())


@needs_triton
def test_integers_do_not_overflow() -> None:
    grid = PatchGrid((1, 1, 1), 1, DEVICE)
    place, one = torch.zeros(1, dtype=torch.int64, device=DEVICE), torch.ones(1, device=DEVICE)
    with use("triton"):
        merger = PatchMerger(grid, like=torch.ones(1, device=DEVICE))
        merger.add(1e30 * one[:, None], place, one)
    assert float(merger.image()) == merging.HEADROOM
    patches = 2**62 // 2**merging.BITS
    assert patches >= 2**20  # more than can lie on a pixel in any window


def test_sums_of_floats_on_a_gpu_are_those_on_a_cpu() -> None:
    """Not their order: each device has one of its own, the same in every run."""
    positions = torch.tensor([3, 0, 3, 1, 3, 0])
    added = [torch.arange(6.0), 1 - torch.arange(6.0)]
    sums = torch.zeros(2, 2, 5)
    for add, one in zip((merging.add_in_order, merging.add_sorted), sums, strict=True):
        add(one, positions, added)
        add(one, positions, added)
    assert sums[0].tolist() == [[12, 6, 0, 12, 0], [-8, -4, 0, -6, 0]]
    assert torch.equal(*sums)
