"""Block matching and the low-rank filter on a CUDA GPU."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from denoise.kernels.launching import OPTIONS, WARPS, launching_on, power_of_two, works_on

# Patches of a group that are handled at a time; matrix products want 16 at least.
PATCHES_BLOCK, LEAST_BLOCK = 32, 16
# What keeps the distances of a window in registers.
PLACES_OF_A_WARP, MOST_WARPS = 512, 16
# More do not fit into registers, or into the keys that order distances.
MOST_VALUES, PLACE_BITS = 64, 13


def can_match(pilot: Tensor, window: int) -> bool:
    """Whether there is a kernel for such a search."""
    places = (2 * window + 1) ** 2
    return pilot.dtype == torch.float32 and places <= 2**PLACE_BITS and _on_gpu(pilot)


def can_filter(noisy: Tensor) -> bool:
    """Whether there is a kernel for groups (B, M, D) of this kind."""
    return noisy.dtype == torch.float32 and noisy.shape[2] <= MOST_VALUES and _on_gpu(noisy)


def _on_gpu(values: Tensor) -> bool:
    return values.device.type == "cuda" and works_on(values.device)


def match(
    pilot: Tensor, patch_size: int, window: int, rows: Tensor, columns: Tensor, group_size: int
) -> Tensor:
    """As `groups.match_plainly`, but only the patch itself has its place in a group."""
    from denoise.kernels import groups_triton as kernels

    numbers = rows.new_empty(len(rows) * len(columns), group_size)
    height, width = pilot.shape
    places = power_of_two((2 * window + 1) ** 2)
    with launching_on(pilot.device):
        kernels.match[(len(numbers),)](
            pilot.contiguous(),
            rows,
            columns,
            numbers,
            height,
            width,
            len(columns),
            patch_size,
            window,
            group_size,
            BLOCK_W=places,
            PLACE_BITS=PLACE_BITS,
            **OPTIONS | {"num_warps": min(max(places // PLACES_OF_A_WARP, WARPS), MOST_WARPS)},
        )
    return numbers


def low_rank_filter(noisy: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """As `group_filters.low_rank_filter`."""
    from denoise.kernels import groups_triton as kernels

    count, size, values = noisy.shape
    noisy, noise = noisy.contiguous(), noise.contiguous()
    estimates, weights = torch.empty_like(noisy), torch.empty_like(noise)
    with launching_on(noisy.device):
        kernels.low_rank[(count,)](
            noisy,
            noise,
            estimates,
            weights,
            size,
            values,
            8 * math.sqrt(2 * size),
            BLOCK_M=PATCHES_BLOCK,
            K=max(power_of_two(values), LEAST_BLOCK),
            **OPTIONS | {"num_warps": 2 * WARPS},
        )
    return estimates, weights
