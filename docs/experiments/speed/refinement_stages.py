"""Seconds of the refinement's block matching, filters and merging.

With D values in a patch and M patches in a group: a distance takes 3D operations for every place
of the window; the filters 4MD^2 for two products of all patches, 2D^3 to invert one of them, 2D^3
and 4MD^2 to apply both sides; merging, on a new canvas, a multiplication and two additions a value.
Memory moves images, patches and numbers of patches once each way. Compiled loops filter and merge
at once; their row "filter and merge" is of all groups of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from denoise.kernels.choice import implementation
from denoise.kernels.group_filters import MOST_VALUES, filter_groups
from denoise.kernels.matching import match_patches
from denoise.options import RefinementOptions
from denoise.patches import PatchGrid, PatchMerger
from denoise.refinement.passes import filter_image
from speed.stages import StageTime, Work, time_stage

# Groups that keep a GPU busy.
GROUPS = 2048


@torch.no_grad()
def refinement_stages(
    noisy: Tensor, pilot: Tensor, options: RefinementOptions, paths: Sequence[str]
) -> list[StageTime]:
    """Time one search for similar patches in the whole image, and each filter on some groups.

    Parameters
    ----------
    noisy, pilot : (height, width) float32, in units of sigma
    paths : to time where there are kernels, see `on_path`
    """
    device, size = noisy.device, options.patch_sizes[0]
    grid = PatchGrid((*noisy.shape[:2], 1), size, device)

    def match() -> Tensor:
        window, stride = options.window, options.stride
        return match_patches(
            pilot, size, group_size=options.group_size, window=window, stride=stride
        )

    groups = match()
    some = groups[:GROUPS]
    raw, guide = _grouped(noisy, grid, some), _grouped(pilot, grid, some)
    ridge = torch.full_like(groups[:, 0], size**2, dtype=torch.float32)
    weights = torch.ones_like(raw[..., 0]).flatten()
    merged = raw.flatten(0, 1)

    stages = time_stage(
        "match",
        match,
        _match_work(groups, grid, options.window),
        device,
        paths,
        kernels=implementation(pilot, "numba", "triton") != "plain",
    )
    stages += time_stage(
        "filter",
        lambda: filter_groups(raw, guide, ridge[:GROUPS]),
        _filter_work(raw),
        device,
        paths,
        kernels=raw.shape[2] <= MOST_VALUES and implementation(raw, "triton") == "triton",
    )
    stages += time_stage(
        "merge",
        lambda: PatchMerger(grid, like=noisy).add(merged, some.flatten(), weights),
        _merge_work(raw, grid),
        device,
        paths,
        kernels=implementation(noisy, "triton") == "triton",
    )
    stages += time_stage(
        "filter and merge",
        lambda: filter_image(noisy, pilot, groups, ridge, size),
        _filter_work(groups[..., None].expand(-1, -1, size**2)),
        device,
        paths,
        kernels=True,
    )
    return stages


def _grouped(image: Tensor, grid: PatchGrid, groups: Tensor) -> Tensor:
    return grid.extract(image, groups.flatten()).view(*groups.shape, -1)


def _match_work(groups: Tensor, grid: PatchGrid, window: int) -> Work:
    """Distances to the patches that lie within the window."""
    rows, columns = len(grid) // grid.columns, grid.columns
    own = groups[:, 0]
    places = _reached(own // columns, rows, window) * _reached(own % columns, columns, window)
    width = grid.patch_size**2
    height, length, _ = grid.image_shape
    moved = 4 * height * length + 8 * groups.numel()
    return Work(len(groups), 3.0 * width * int(places.sum()), moved, int(places.sum()))


def _reached(places: Tensor, count: int, window: int) -> Tensor:
    """How many of `count` places are at most `window` away."""
    return (places + window).clamp(max=count - 1) - (places - window).clamp(min=0) + 1


def _filter_work(groups: Tensor) -> Work:
    count, size, width = groups.shape
    operations = 8 * size * width**2 + 4 * width**3
    return Work(count, float(count * operations), 3.0 * 4 * groups.numel())


def _merge_work(groups: Tensor, grid: PatchGrid) -> Work:
    """Values, numbers and weights come in; the two sums of each pixel are read and written once."""
    height, length, _ = grid.image_shape
    moved = 4 * groups.numel() + 12 * groups[..., 0].numel() + 2 * 16 * height * length
    return Work(len(groups), 3.0 * groups.numel(), float(moved))
