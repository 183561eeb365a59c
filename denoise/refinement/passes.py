"""One pass of a filter over all groups of similar patches of an image, merged into an image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from denoise.devices import PartsThatFit
from denoise.kernels.group_filters import low_rank_filter, wiener_filter
from denoise.kernels.loops import on_all_cores
from denoise.kernels.matching import match_patches
from denoise.options import RefinementOptions
from denoise.patches import PatchGrid, PatchMerger

# Few fit into a CPU's cache, many keep a GPU busy.
GROUPS_AT_A_TIME, GROUPS_AT_A_TIME_ON_GPU = 512, 2048


def wiener_pass(
    noisy: Tensor,
    pilot: Tensor,
    sigma: float,
    boost: float,
    grid: PatchGrid,
    options: RefinementOptions,
) -> Tensor:
    """Filter all groups with the local Gaussian models of the pilot, and merge."""
    groups = match(pilot, grid.patch_size, options.wiener_group, options)
    observed = _filled(noisy, pilot)

    def filter_some(chosen: slice) -> tuple[Tensor, Tensor]:
        index = groups[chosen]
        patches, pilots = _extract(observed, grid, index), _extract(pilot, grid, index)
        return wiener_filter(patches, pilots, sigma**2, boost=boost), patches.new_ones(len(index))

    return _filter_groups(grid, observed, groups, filter_some)


def low_rank_pass(
    noisy: Tensor,
    estimate: Tensor,
    sigma: float,
    feedback: float,
    grid: PatchGrid,
    groups: Tensor,
    options: RefinementOptions,
) -> Tensor:
    """Put a share of the residual back, shrink the singular values of all groups, and merge."""
    observed = _filled(noisy, estimate)
    remaining = estimate.lerp(observed, feedback)
    noise = _remaining_noise(observed - remaining, sigma, grid, groups[:, 0])
    if feedback < 1:
        noise = options.noise_share * noise

    def filter_some(chosen: slice) -> tuple[Tensor, Tensor]:
        return low_rank_filter(_extract(remaining, grid, groups[chosen]), noise[chosen])

    return _filter_groups(grid, observed, groups, filter_some)


def _remaining_noise(residual: Tensor, sigma: float, grid: PatchGrid, index: Tensor) -> Tensor:
    """Noise level left in each reference patch once `residual` has been taken out: (G,)."""
    removed = [_extract(residual, grid, some).square().mean(1) for some in index.split(65_536)]
    return (sigma**2 - torch.cat(removed)).abs().sqrt()


def _filled(noisy: Tensor, estimate: Tensor) -> Tensor:
    """The data, with the present estimate where they are missing."""
    return torch.where(noisy.isnan(), estimate, noisy)


def match(image: Tensor, patch_size: int, group_size: int, options: RefinementOptions) -> Tensor:
    """Groups (G, M) of similar patches of an image (height, width, 1)."""
    return match_patches(
        image[..., 0],
        patch_size,
        group_size=group_size,
        window=options.window,
        stride=min(options.stride, patch_size),
    )


def _filter_groups(
    grid: PatchGrid,
    like: Tensor,
    groups: Tensor,
    filter_some: Callable[[slice], tuple[Tensor, Tensor]],
) -> Tensor:
    """Average the estimates (B, M, D) with weights (B,), some groups at a time, into an image."""
    merger = PatchMerger(grid, like=like)

    def add(chosen: slice, found: tuple[Tensor, Tensor]) -> None:
        estimates, weights = found
        weights = weights[:, None].expand(estimates.shape[:2])
        merger.add(estimates.flatten(0, 1), groups[chosen].flatten(), weights.flatten())

    if not _keeps_busy(groups.device):
        starts = range(0, len(groups), GROUPS_AT_A_TIME)
        chunks = [slice(start, start + GROUPS_AT_A_TIME) for start in starts]
        for chosen, found in zip(chunks, on_all_cores(filter_some, chunks), strict=True):
            add(chosen, found)
    else:
        parts = PartsThatFit(at_first=GROUPS_AT_A_TIME_ON_GPU)
        parts.results(lambda chosen: add(chosen, filter_some(chosen)), len(groups))
    return merger.image().to(torch.float32)


def _keeps_busy(device: torch.device) -> bool:
    """Whether one piece of work keeps a whole device busy; a CPU has several cores."""
    return device.type != "cpu"


def _extract(image: Tensor, grid: PatchGrid, index: Tensor) -> Tensor:
    """Patches number `index` (...): (..., D)."""
    return grid.extract(image, index.flatten()).reshape(*index.shape, -1)
