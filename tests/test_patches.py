"""Patches of an image: where they lie, and what is missing."""

from __future__ import annotations

import pytest
import torch
from conftest import make_patches

from denoise.errors import ImageError
from denoise.patches import Patches, PatchGrid

SHAPES = [((9, 13, 1), 4), ((16, 11, 3), 5), ((7, 7, 3), 7), ((8, 31, 1), 3), ((12, 5, 4), 2)]
CPU = torch.device("cpu")


def random_image(shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


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


@pytest.mark.parametrize("stride", [1, 2, 3, 50])
def test_every_few_pixels_there_is_a_patch_and_at_the_ends(stride: int) -> None:
    grid = PatchGrid((9, 13, 1), 4, CPU)
    rows = [row for row in range(6) if row % stride == 0 or row == 5]
    columns = [column for column in range(10) if column % stride == 0 or column == 9]
    expected = [row * 10 + column for row in rows for column in columns]
    assert grid.every(stride).tolist() == expected


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
