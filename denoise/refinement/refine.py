"""Non-local refinement: similar patches of the image correct what one global model missed.

Similar patches, found in the result of the VAE (the pilot), form groups. Two
filters act on them, `wiener_filter` and `low_rank_filter` (group_filters.py).

The second one is strong but forgets where it started; so every pass starts from a
mean of its own last result and the first filter's (the anchor), plus a share of the
residual. Colours are rotated to brightness and opponent colours, which are refined one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from denoise.halving import Halving
from denoise.merging import PatchMerger
from denoise.options import RefinementOptions
from denoise.patches import PatchGrid
from denoise.refinement.block_matching import match_patches
from denoise.refinement.filters import low_rank_filter, wiener_filter
from denoise.threads import on_all_cores

# Few fit into a CPU's cache, many keep a GPU busy.
GROUPS_AT_A_TIME, GROUPS_AT_A_TIME_ON_GPU = 512, 2048


@torch.no_grad()
def refine_image(
    noisy: Tensor,
    pilot: Tensor,
    sigma: float,
    options: RefinementOptions,
    *,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Improve `pilot` with groups of similar patches of `noisy`.

    Parameters
    ----------
    noisy : (height, width, C) float, NaN where missing
    pilot : (height, width, C) float, a first estimate without gaps
    sigma : standard deviation of the noise
    on_pass : called with the number of finished passes

    Returns
    -------
    (height, width, C) float
    """
    height, width, channels = noisy.shape
    rotation = opponent_colours(channels).to(noisy)
    # A colour pixel counts as missing where one of its channels is.
    data, start = noisy @ rotation.T, pilot @ rotation.T
    sizes = [min(size, height, width) for size in options.patch_sizes]
    refined, finished = torch.zeros_like(start), 0

    def tell(done: int) -> None:
        on_pass(finished + done)

    for channel, size in product(range(channels), sizes):
        one = slice(channel, channel + 1)
        refined[..., one] += _refine_channel(
            data[..., one], start[..., one], sigma, size, options, tell
        )
        finished += options.passes
    result: Tensor = refined / len(sizes) @ rotation
    return result


def pass_count(options: RefinementOptions, channels: int) -> int:
    """Passes that `refine_image` makes."""
    return channels * len(options.patch_sizes) * options.passes


def opponent_colours(channels: int) -> Tensor:
    """Orthonormal axes of colour space, brightness first: (C, C).

    The discrete cosine transform over channels; for RGB that is R+G+B, R-B and R-2G+B. Noise
    stays white, and each axis can be filtered on its own.
    """
    places = torch.arange(channels, dtype=torch.float64)
    rows = torch.cos(math.pi / channels * places[:, None] * (places + 0.5))
    axes: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return axes


def _refine_channel(
    noisy: Tensor,
    pilot: Tensor,
    sigma: float,
    size: int,
    options: RefinementOptions,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Refine an image (height, width, 1) with patches of one size."""
    grid = PatchGrid((noisy.shape[0], noisy.shape[1], noisy.shape[2]), size, noisy.device)
    estimate, done = pilot, 0
    for number in range(options.rounds):
        boost = options.boost / (number + 1)
        anchor = estimate = _wiener_step(noisy, estimate, sigma, boost, grid, options)
        on_pass(done := done + 1)
        for step, feedback in enumerate(options.feedback):
            if step % 2 == 0:
                group_size = max(options.low_rank_group - 5 * step, min(options.low_rank_group, 40))
                groups = _match(estimate, size, group_size, options)
            if step > 0:
                estimate = estimate.lerp(anchor, options.anchoring)
            estimate = _low_rank_step(noisy, estimate, sigma, feedback, grid, groups, options)
            on_pass(done := done + 1)
    if not options.feedback:
        return estimate
    # The two filters err differently.
    boost = options.boost / (options.rounds + 1)
    other = _wiener_step(noisy, estimate, sigma, boost, grid, options)
    on_pass(done + 1)
    return (estimate + other) / 2


def _wiener_step(
    noisy: Tensor,
    pilot: Tensor,
    sigma: float,
    boost: float,
    grid: PatchGrid,
    options: RefinementOptions,
) -> Tensor:
    """Filter all groups with the local Gaussian models of the pilot, and merge."""
    groups = _match(pilot, grid.patch_size, options.wiener_group, options)
    observed = _filled(noisy, pilot)

    def filter_some(chosen: slice) -> tuple[Tensor, Tensor]:
        index = groups[chosen]
        patches, pilots = _extract(observed, grid, index), _extract(pilot, grid, index)
        return wiener_filter(patches, pilots, sigma**2, boost=boost), patches.new_ones(len(index))

    return _filter_groups(grid, observed, groups, filter_some)


def _low_rank_step(
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


def _match(image: Tensor, patch_size: int, group_size: int, options: RefinementOptions) -> Tensor:
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

    if not _one_after_the_other(groups):
        starts = range(0, len(groups), GROUPS_AT_A_TIME)
        chunks = [slice(start, start + GROUPS_AT_A_TIME) for start in starts]
        for chosen, found in zip(chunks, on_all_cores(filter_some, chunks), strict=True):
            add(chosen, found)
    else:
        halving = Halving(at_first=GROUPS_AT_A_TIME_ON_GPU)
        halving.in_parts(lambda chosen: add(chosen, filter_some(chosen)), len(groups))
    return merger.image().to(torch.float32)


def _one_after_the_other(groups: Tensor) -> bool:
    """Whether one piece of work keeps the whole device busy."""
    return groups.device.type != "cpu"


def _extract(image: Tensor, grid: PatchGrid, index: Tensor) -> Tensor:
    """Patches number `index` (...): (..., D)."""
    return grid.extract(image, index.flatten()).reshape(*index.shape, -1)
