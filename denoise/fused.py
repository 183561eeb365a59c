"""Tensors in and out of the Triton kernels, `fused_kernels.py`, on a CUDA GPU."""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

from denoise.neighbourhood import Extent
from denoise.states import SparseStates

# Of 32 threads each, for one patch; what keeps all of its numbers in registers.
WARPS = 4


# Larger systems of equations or models do not fit into registers; presets have 8 and 512.
MOST_ACTIVE, MOST_LATENTS = 16, 4096


@cache
def works_on(device: torch.device) -> bool:
    """Whether there is a Triton that can launch there; it needs a C compiler, for instance."""
    target = torch.zeros(1, device=device)
    try:
        from denoise import fused_kernels

        with launching_on(device):
            fused_kernels.probe[(1,)](target)
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError):
        return False
    return float(target) == 1


def launching_on(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current GPU, wherever its arguments are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def explore(
    projections: Tensor,
    gram: Tensor,
    log_odds: Tensor,
    population: SparseStates,
    extent: Extent,
) -> SparseStates:
    """As `fast_path.Kernels.explore`."""
    from denoise import fused_kernels

    active, scores = population.active.clone(), population.log_joints.clone()
    _, size, most_active = active.shape
    with launching_on(active.device):
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
            extent.expansions,
            extent.children,
            extent.reach,
            BLOCK_S=power_of_two(size),
            K=power_of_two(most_active),
            BLOCK_H=power_of_two(population.latents),
            num_warps=WARPS,
            enable_fp_fusion=True,
        )
    return SparseStates(active, scores, population.latents)


def posterior_sums(
    projections: Tensor, gram: Tensor, states: SparseStates, *, amplitudes_only: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """As `fast_path.Kernels.posterior_sums`."""
    from denoise import fused_kernels

    active = states.active.contiguous()
    _, size, most_active = active.shape
    latents, products, amplitudes = (
        torch.zeros(shape, dtype=torch.int64, device=gram.device)
        for shape in (gram.shape[:1], gram.shape, projections.shape)
    )
    with launching_on(active.device):
        fused_kernels.accumulate[(len(projections),)](
            projections,
            gram,
            active,
            states.log_joints.contiguous(),
            latents,
            products,
            amplitudes,
            states.latents,
            size,
            most_active,
            AMPLITUDES_ONLY=amplitudes_only,
            BLOCK_S=power_of_two(size),
            K=power_of_two(most_active),
            num_warps=WARPS,
            enable_fp_fusion=True,
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
