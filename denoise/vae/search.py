"""Evolutionary search for likelier states: the E-step, as one batch over patches.

Every step works on all patches of a chunk at once and touches only tensors of
that chunk; a patch meets neither its neighbours nor the chunk size. Bred states
only ever replace less likely ones, so a step never lowers the ELBO of a patch
(Drefs et al. 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.vae.best_first import explore, extent_of
from denoise.vae.model import BinaryVAE
from denoise.vae.randomness import PatchRandom, choose_by_weight
from denoise.vae.states import LatentStates, flip_bits
from denoise.vae.stored_states import StateSets

# The effect of a flip is averaged over this many states.
CALIBRATION_STATES = 256


def improve(
    model: BinaryVAE,
    patches: Patches,
    population: StateSets,
    options: SearchOptions,
    *,
    key: tuple[int, ...],
    steps: int = 1,
) -> StateSets:
    """Score states under the present parameters and take some search steps.

    Parameters
    ----------
    patches : N patches
    population : their states; old log joints do not matter, but -inf marks an empty place
    key : names the random numbers, with each patch's own number

    Returns
    -------
    Sets of the same shape
    """
    compiled = model.compiled_search(patches, population, options, key=key, steps=steps)
    if compiled is not None:
        return compiled
    sets = model.scored(patches, population)
    if options.mutation == "neighbours":
        return explore(model, patches, sets, extent_of(options, steps))
    for step in range(steps):
        random = PatchRandom((*key, step), patches.index)
        sets = evolve(model, patches, sets, options, random=random)
    return sets


def calibrate(model: BinaryVAE, bits: Tensor, options: SearchOptions) -> None:
    """Prepare a model for a search that flips the bits which its gradient calls for."""
    if options.mutation in ("guided", "neighbours"):
        model.calibrate(bits[:CALIBRATION_STATES])


def evolve(
    model: BinaryVAE,
    patches: Patches,
    population: LatentStates,
    options: SearchOptions,
    *,
    random: PatchRandom,
) -> LatentStates:
    """One search step: breed some generations and keep the S best states of all.

    Parameters
    ----------
    patches : N patches
    population : their states, with log joints under the present parameters
    random : random numbers of these N patches

    Returns
    -------
    LatentStates of the same shape, log joints descending; no patch's ELBO is lower
    """
    candidates, found = population, []
    for _ in range(options.generations):
        parents = select_parents(candidates, options, random=random)
        if options.crossover:
            parents = cross_over(parents, random=random)
        candidates = breed(model, patches, parents, options, random=random)
        found.append(candidates)
    return population.merged(*found)


def select_parents(
    candidates: LatentStates, options: SearchOptions, *, random: PatchRandom
) -> Tensor:
    """Choose P of the K candidates of every patch as parents: (N, P, H) bool."""
    log_joints = candidates.log_joints  # (N, K)
    count = min(options.parents, log_joints.shape[1])
    if options.parent_selection == "best":
        return candidates.best(count).bits
    absent = log_joints.isneginf()
    if options.parent_selection == "uniform":
        log_fitness = torch.zeros_like(log_joints)
    else:
        worst = log_joints.masked_fill(absent, torch.inf).amin(1, keepdim=True)
        # The worst candidate keeps a small chance.
        log_fitness = (log_joints - worst).clamp(min=1e-6).log()
    chosen = choose_by_weight(log_fitness.masked_fill(absent, -torch.inf), count, random)
    return candidates.take(chosen).bits


def cross_over(parents: Tensor, *, random: PatchRandom) -> Tensor:
    """Follow each parent (N, P, H) up to a random latent, then the next parent."""
    latents = parents.shape[2]
    cut = random.uniform(parents.shape[1], 1) * latents
    before_cut = torch.arange(latents, device=parents.device) < cut  # (N, P, H)
    return torch.where(before_cut, parents, parents.roll(-1, dims=1))


def breed(
    model: BinaryVAE,
    patches: Patches,
    parents: Tensor,
    options: SearchOptions,
    *,
    random: PatchRandom,
) -> LatentStates:
    """M mutated children of each parent (N, P, H) bool, scored: N sets of P·M states."""
    latents = parents.shape[2]
    if options.mutation == "sparse":
        flips = sparse_flips(parents, model.prior_probs, options.children, random=random)
        children = (parents[:, :, None] ^ flips).flatten(1, 2)
        return LatentStates(children, model.log_joints(patches, children))
    if options.mutation == "guided":
        log_weights = model.flip_gains(patches, parents)
    else:
        log_weights = torch.zeros_like(parents, dtype=patches.values.dtype)
    # Each child flips one bit, no two the same.
    chosen = choose_by_weight(log_weights, min(options.children, latents), random)
    log_joints = model.flip_log_joints(patches, parents, chosen)
    return LatentStates(flip_bits(parents, chosen), log_joints)


def sparse_flips(
    parents: Tensor, prior_probs: Tensor, count: int, *, random: PatchRandom
) -> Tensor:
    """Independent flips after which as many bits are on as the prior expects.

    With s bits on and a surplus d = (sum of pi) - s, on average (1 + |d| + d)/2
    bits are switched on and (1 + |d| - d)/2 off: the result has sum of pi bits on
    average, from one flip more than the least needed. The idea is that of the
    sparsity-driven flips of Drefs, Guiraud, Lücke (JMLR 23(21), 2022).

    Returns
    -------
    (N, P, count, H) bool
    """
    latents = parents.shape[2]
    active = parents.sum(-1, keepdim=True).to(prior_probs.dtype)  # (N, P, 1)
    surplus = prior_probs.sum() - active
    switch_on = (1 + surplus.abs() + surplus) / 2 / (latents - active).clamp(min=1)
    switch_off = (1 + surplus.abs() - surplus) / 2 / active.clamp(min=1)
    probability = torch.where(parents, switch_off, switch_on)  # (N, P, H)
    return random.uniform(parents.shape[1], count, latents) < probability[:, :, None]
