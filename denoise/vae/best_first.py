"""Best-first search over single-bit neighbourhoods: the E-step of the amplitude model.

`flip_gains` scores all H neighbours of a state at about the cost of one. So the
likeliest state that has not been expanded yet gives its best neighbours to the
set, and so on. Where the gains are exact, the neighbours' log joints are known;
else they are proposals, and their log joints are evaluated.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from denoise.kernels.amplitude import Extent
from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.vae.states import LatentStates, duplicates


def extent_of(options: SearchOptions, steps: int) -> Extent:
    """How far this many steps of "neighbours" go."""
    return Extent(options.parents * options.generations * steps, options.children, options.reach)


class NeighbourModel(Protocol):
    """What the search asks of a model."""

    exact_flip_gains: ClassVar[bool]

    def log_joints(self, patches: Patches, bits: Tensor) -> Tensor:
        """log p(x_n, z) of states (N, S, H): (N, S)."""

    def flip_gains(self, patches: Patches, bits: Tensor) -> Tensor:
        """Rise of the log joint for every single-bit flip: (N, P, H)."""


def explore(
    model: NeighbourModel,
    patches: Patches,
    population: LatentStates,
    extent: Extent,
) -> LatentStates:
    """Expand some states of every patch, one after the other.

    Parameters
    ----------
    patches : N patches
    population : their S states, with log joints under the present parameters
    extent : how far the search goes

    Returns
    -------
    LatentStates of the same shape, log joints descending; no patch's ELBO is lower
    """
    population = population.best(population.log_joints.shape[1])
    expanded = torch.zeros_like(population.log_joints, dtype=torch.bool)
    rows = torch.arange(len(population), device=expanded.device)
    for _ in range(extent.expansions):
        unlikely = population.log_joints < population.log_joints[:, :1] - extent.reach
        waiting = population.log_joints.masked_fill(expanded | unlikely, -torch.inf)
        chosen = waiting.argmax(1)
        expanded[rows, chosen] = True
        parents = LatentStates(population.bits[rows, chosen][:, None], waiting.amax(1)[:, None])
        offspring = _neighbours(model, patches, parents, extent.children)
        population, expanded = _admit(population, expanded, offspring)
    return population


def _neighbours(
    model: NeighbourModel, patches: Patches, parents: LatentStates, count: int
) -> LatentStates:
    """The `count` best neighbours of one state per patch."""
    gains = model.flip_gains(patches, parents.bits)[:, 0]  # (N, H)
    best = gains.topk(min(count, gains.shape[1]), dim=1)
    flips = torch.zeros(
        *best.indices.shape, gains.shape[1], dtype=torch.bool, device=gains.device
    ).scatter_(2, best.indices[..., None], True)
    bits = parents.bits ^ flips
    if model.exact_flip_gains:
        return LatentStates(bits, parents.log_joints + best.values)
    possible = ~(best.values.isneginf() | parents.log_joints.isneginf())
    log_joints = model.log_joints(patches, bits)
    return LatentStates(bits, log_joints.masked_fill(~possible, -torch.inf))


def _admit(
    population: LatentStates, expanded: Tensor, offspring: LatentStates
) -> tuple[LatentStates, Tensor]:
    """The S best distinct states of both, and which of them have been expanded."""
    bits = torch.cat([population.bits, offspring.bits], 1)
    log_joints = torch.cat([population.log_joints, offspring.log_joints], 1)
    log_joints = log_joints.masked_fill(duplicates(bits), -torch.inf)
    expanded = torch.cat([expanded, torch.zeros_like(offspring.log_joints, dtype=torch.bool)], 1)
    chosen = log_joints.topk(population.log_joints.shape[1], dim=1).indices
    return LatentStates(bits, log_joints).take(chosen), expanded.gather(1, chosen)
