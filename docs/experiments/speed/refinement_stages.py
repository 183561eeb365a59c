"""Seconds of the refinement's block matching, filters and merging.

With D values in a patch, M patches in a group and K the smaller of both: a distance takes 3D
operations for every place of the window; the low-rank filter 2MDK for the Gram matrix, 9K^3 for
eigenvalues and eigenvectors (Golub and Van Loan, Matrix Computations, on the symmetric QR
algorithm) and 4MDK to apply them; the Wiener filter 2MDK for the covariance, 2K^3 / 3 and
2K^2 max(M, D) to solve, 4MDK or 2MDK to apply; merging, on a new canvas, a multiplication and two
additions a value. Memory moves images, patches and numbers of patches once each way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from denoise.kernels.choice import implementation
from denoise.kernels.group_filters import MOST_VALUES, low_rank_filter, wiener_filter
from denoise.kernels.matching import match_patches
from denoise.options import RefinementOptions
from denoise.patches import PatchGrid, PatchMerger
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

    def match(group_size: int = options.low_rank_group) -> Tensor:
        window, stride = options.window, options.stride
        return match_patches(pilot, size, group_size=group_size, window=window, stride=stride)

    groups, few = match(), match(options.wiener_group)[:GROUPS]
    some = groups[:GROUPS]
    raw = _grouped(noisy, grid, some)
    noise = torch.ones_like(raw[:, 0, 0])
    small, small_pilot = _grouped(noisy, grid, few), _grouped(pilot, grid, few)
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
        "low rank",
        lambda: low_rank_filter(raw, noise),
        _low_rank_work(raw),
        device,
        paths,
        kernels=raw.shape[2] <= MOST_VALUES and implementation(raw, "triton") != "plain",
    )
    stages += time_stage(
        "Wiener",
        lambda: wiener_filter(small, small_pilot, 1.0, boost=options.boost),
        _wiener_work(small),
        device,
        paths,
        kernels=False,
    )
    stages += time_stage(
        "merge",
        lambda: PatchMerger(grid, like=noisy).add(merged, some.flatten(), weights),
        _merge_work(raw, grid),
        device,
        paths,
        kernels=implementation(noisy, "triton") != "plain",
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


def _low_rank_work(groups: Tensor) -> Work:
    count, size, width = groups.shape
    least = min(size, width)
    operations = 6 * size * width * least + 9 * least**3
    return Work(count, float(count * operations), 2.0 * 4 * groups.numel())


def _wiener_work(groups: Tensor) -> Work:
    count, size, width = groups.shape
    least, most = min(size, width), max(size, width)
    applied = 4 if size < width else 2
    operations = (2 + applied) * size * width * least + 2 * least**3 / 3 + 2 * least**2 * most
    return Work(count, count * operations, 3.0 * 4 * groups.numel())


def _merge_work(groups: Tensor, grid: PatchGrid) -> Work:
    """Values, numbers and weights come in; the two sums of each pixel are read and written once."""
    height, length, _ = grid.image_shape
    moved = 4 * groups.numel() + 12 * groups[..., 0].numel() + 2 * 16 * height * length
    return Work(len(groups), 3.0 * groups.numel(), float(moved))
