"""Tensors in and out of the Triton kernels, `fused_kernels.py`, on a CUDA GPU."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from denoise.states import SparseStates

# Of 32 threads each, for one patch; what keeps all of its numbers in registers.
WARPS = 4


@cache
def is_installed() -> bool:
    """Whether there is a Triton; systems other than Linux lack it."""
    return find_spec("triton") is not None


def explore(
    projections: Tensor,
    gram: Tensor,
    log_odds: Tensor,
    population: SparseStates,
    *,
    expansions: int,
    children: int,
) -> SparseStates:
    """As `fast_path.Kernels.explore`."""
    from denoise import fused_kernels

    active, scores = population.active.clone(), population.log_joints.clone()
    _, size, most_active = active.shape
    fused_kernels.explore[(len(active),)](
        projections,
        gram,
        log_odds,
        _keys(population.latents, projections.device),
        active,
        scores,
        population.latents,
        size,
        most_active,
        expansions,
        children,
        BLOCK_S=power_of_two(size),
        K=power_of_two(most_active),
        BLOCK_H=power_of_two(population.latents),
        num_warps=WARPS,
    )
    return SparseStates(active, scores, population.latents)


def posterior_sums(
    projections: Tensor, gram: Tensor, states: SparseStates
) -> tuple[Tensor, Tensor, Tensor]:
    """As `fast_path.posterior_sums`."""
    from denoise import fused_kernels

    _, size, most_active = states.active.shape
    latents, products, amplitudes = (
        torch.zeros(shape, dtype=torch.int64, device=gram.device)
        for shape in (gram.shape[:1], gram.shape, projections.shape)
    )
    fused_kernels.accumulate[(len(projections),)](
        projections,
        gram,
        states.active.contiguous(),
        states.log_joints.contiguous(),
        latents,
        products,
        amplitudes,
        states.latents,
        size,
        most_active,
        BLOCK_S=power_of_two(size),
        K=power_of_two(most_active),
        num_warps=WARPS,
    )
    unit = 1 / fused_kernels.FIXED_POINT.value
    sums = (latents, products, amplitudes)
    latents, products, amplitudes = ((one.double() * unit).to(gram.dtype) for one in sums)
    return latents, products, amplitudes


def power_of_two(count: int) -> int:
    """The least one that is not below `count`."""
    return 1 << (count - 1).bit_length()


@cache
def _keys(latents: int, device: torch.device) -> Tensor:
    """A random number for each latent; a state is told by the sum of its latents'."""
    generator = torch.Generator().manual_seed(20221113)
    return torch.randint(-(2**62), 2**62, (latents,), generator=generator).to(device)
