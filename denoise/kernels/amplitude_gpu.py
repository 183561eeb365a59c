"""E-step and M-step of the amplitude model on a CUDA GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.kernels.launching import OPTIONS, latent_keys, launching_on, power_of_two, works_on
from denoise.vae.best_first import Extent
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import SparseStates

# Larger systems of equations, models or sets do not fit into registers; presets have 8, 512, 16.
MOST_ACTIVE, MOST_LATENTS, MOST_STATES = 16, 4096, 128


def supports(model: BinaryVAE, sets: SparseStates) -> bool:
    """Whether the kernels are large enough, and work on the device."""
    _, size, most_active = sets.active.shape
    small = most_active <= MOST_ACTIVE and len(model.prior_probs) <= MOST_LATENTS
    device = sets.active.device
    return small and size <= MOST_STATES and device.type == "cuda" and works_on(device)


def explore(
    projections: Tensor,
    gram: Tensor,
    log_odds: Tensor,
    population: SparseStates,
    extent: Extent,
) -> SparseStates:
    """As `fast_path.Kernels.explore`."""
    from denoise.kernels import amplitude_triton as kernels

    active, scores = (
        values.clone(memory_format=torch.contiguous_format)
        for values in (population.active, population.log_joints)
    )
    _, size, most_active = active.shape
    with launching_on(active.device):
        kernels.explore[(len(active),)](
            projections,
            gram,
            log_odds,
            latent_keys(population.latents, projections.device),
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
            **OPTIONS,
        )
    return SparseStates(active, scores, population.latents)


def posterior_sums(
    projections: Tensor, gram: Tensor, states: SparseStates, *, amplitudes_only: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """As `fast_path.Kernels.posterior_sums`."""
    from denoise.kernels import amplitude_triton as kernels

    active = states.active.contiguous()
    _, size, most_active = active.shape
    latents, products, amplitudes = (
        torch.zeros(shape, dtype=torch.int64, device=gram.device)
        for shape in (gram.shape[:1], gram.shape, projections.shape)
    )
    with launching_on(active.device):
        kernels.accumulate[(len(projections),)](
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
            **OPTIONS,
        )
    unit = 1 / kernels.FIXED_POINT.value
    sums = (latents, products, amplitudes)
    latents, products, amplitudes = ((one.double() * unit).to(gram.dtype) for one in sums)
    return latents, products, amplitudes
