"""Patches and images are inverses of each other."""

from __future__ import annotations

import pytest
import torch
from conftest import make_patches

from denoise import patches
from denoise.errors import ImageError
from denoise.patches import Patches, PatchGrid

SHAPES = [((9, 13, 1), 4), ((16, 11, 3), 5), ((7, 7, 3), 7), ((8, 31, 1), 3), ((12, 5, 4), 2)]
CPU = torch.device("cpu")


def random_image(shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def shuffled(count: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("shape", "patch_size"), SHAPES)
@pytest.mark.parametrize("chunk_size", [1, 10, 1000])
def test_merge_undoes_extract(
    shape: tuple[int, int, int], patch_size: int, chunk_size: int
) -> None:
    image, grid = random_image(shape), PatchGrid(shape, patch_size, CPU)
    merger = grid.merger()
    for index in shuffled(len(grid)).split(chunk_size):
        merger.add(grid.extract(image, index), index, torch.ones(len(index)))
    torch.testing.assert_close(merger.image(), image.double())


@pytest.mark.parametrize(("shape", "patch_size"), SHAPES)
def test_patches_are_slices_of_the_image(shape: tuple[int, int, int], patch_size: int) -> None:
    image, grid = random_image(shape), PatchGrid(shape, patch_size, CPU)
    patches = grid.extract(image, torch.arange(len(grid)))
    number = 0
    for row in range(shape[0] - patch_size + 1):
        for column in range(shape[1] - patch_size + 1):
            window = image[row : row + patch_size, column : column + patch_size]
            assert torch.equal(patches[number], window.flatten())
            number += 1
    assert number == len(grid)


def test_merge_averages_overlaps_and_marks_what_is_not_covered() -> None:
    grid = PatchGrid((2, 4, 1), 2, CPU)
    merger = grid.merger()
    merger.add(torch.tensor([[1.0] * 4, [4.0] * 4]), torch.arange(2), torch.tensor([0.5, 1.0]))
    expected = torch.tensor([[1.0, 3.0, 4.0, torch.nan]] * 2, dtype=torch.float64)
    torch.testing.assert_close(merger.image()[..., 0], expected, equal_nan=True)


def test_merge_is_exact_whatever_the_order() -> None:
    shape = (20, 20, 1)
    grid = PatchGrid(shape, 8, CPU)
    patches = 100 * torch.randn(len(grid), 64, generator=torch.Generator().manual_seed(1))
    images = []
    for order in (torch.arange(len(grid)), shuffled(len(grid))):
        merger = grid.merger()
        for index in order.split(17):
            merger.add(patches[index], index, torch.ones(len(index)))
        images.append(merger.image().float())
    assert torch.equal(*images)


def test_sums_on_a_gpu_are_those_on_a_cpu() -> None:
    """Not their order: each device has one of its own, the same in every run."""
    positions = torch.tensor([3, 0, 3, 1, 3, 0])
    added = [torch.arange(6.0), 1 - torch.arange(6.0)]
    sums = torch.zeros(2, 2, 5)
    for add, one in zip((patches._add_on_cpu, patches._add_on_gpu), sums, strict=True):
        add(one, positions, added)
        add(one, positions, added)
    assert sums[0].tolist() == [[12, 6, 0, 12, 0], [-8, -4, 0, -6, 0]]
    assert torch.equal(*sums)


def test_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(ImageError, match="7x5 pixels, smaller than one 6x6 patch"):
        PatchGrid((5, 7, 1), 6, CPU)


def test_missing_values_are_set_apart() -> None:
    raw = torch.tensor([[1.0, torch.nan], [3.0, 4.0]])
    patches = Patches.from_raw(raw, torch.arange(2))
    assert patches.values.tolist() == [[1, 0], [3, 4]]
    assert patches.mask.tolist() == [[1, 0], [1, 1]]
    assert patches.observed_counts.tolist() == [1, 2]
    assert patches.residuals(torch.ones(2, 1, 2)).tolist() == [[[0, 0]], [[2, 3]]]
    assert patches.centred.values.tolist() == [[0, 0], [-0.5, 0.5]]
    assert Patches.from_raw(raw[1:], torch.arange(1)).observed is None


def test_rows_keep_their_mask_and_number() -> None:
    patches = make_patches(5, missing=True)
    rows = torch.tensor([3, 1])
    chosen = patches[rows]
    assert torch.equal(chosen.values, patches.values[rows])
    assert torch.equal(chosen.mask, patches.mask[rows])
    assert torch.equal(chosen.index, patches.index[rows])
