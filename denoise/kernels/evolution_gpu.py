"""E-step of the published decoder, the evolutionary search, on a CUDA GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from denoise.kernels.launching import OPTIONS, latent_keys, launching_on, power_of_two
from denoise.kernels.mlp_gpu import BLOCKS, LEAST_BLOCK, network
from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.vae.model import BinaryVAE
from denoise.vae.randomness import stream_of
from denoise.vae.stored_states import PackedStates, StateSets

# Places of a patch that a program compares with all others.
COMPARED = 8
# Of a patch, and of a parent; more do not fit into registers.
MOST_PLACES, MOST_CHILDREN = 2048, 16


@dataclass(frozen=True)
class _Pool:
    """T places for packed states of each patch: the kernels' `pool`, `codes` and `scores`."""

    pool: Tensor
    codes: Tensor
    scores: Tensor

    @classmethod
    def of(cls, sets: PackedStates, total: int) -> _Pool:
        """The states of `sets` at the start, and room for others."""
        (count, size, stride), like = sets.packed.shape, sets.log_joints
        pool = sets.packed.new_empty(count, total, stride)
        pool[:, :size] = sets.packed
        scores = like.new_empty(count, total)
        scores[:, :size] = like
        return cls(pool, torch.empty_like(scores, dtype=torch.int64), scores)


@dataclass(frozen=True)
class _Generation:
    """Where the parents of a generation are looked for, and where its children go."""

    from_place: int
    candidates: int
    to_place: int
    parents: int
    children: int


def supports(options: SearchOptions) -> bool:
    """Whether there are kernels for this search, given that there are some for the network."""
    places = options.states + options.generations * options.parents * options.children
    one_flip = options.mutation in ("random", "guided") and not options.crossover
    return one_flip and options.children <= MOST_CHILDREN and places <= MOST_PLACES


@torch.no_grad()
def improve(
    model: BinaryVAE,
    patches: Patches,
    population: StateSets,
    options: SearchOptions,
    *,
    key: tuple[int, ...],
    steps: int,
) -> PackedStates:
    """Score states under the present parameters and take some steps, as `search.improve`.

    Parameters
    ----------
    population : of its log joints, only -inf matters, which marks an empty place
    key : names the random numbers, with the number of the step and of the patch
    """
    from denoise.kernels import evolution_triton as kernels

    sets = population if isinstance(population, PackedStates) else PackedStates.of(population)
    count, size = sets.log_joints.shape
    generations = _generations(options, size, sets.latents)
    total = generations[-1].to_place + generations[-1].parents * generations[-1].children
    pool = _Pool.of(sets, total)
    keys = latent_keys(sets.latents, patches.values.device)
    shared = network(model, patches) | {"prior": model.prior_probs, "keys": keys, "total": total}
    with launching_on(patches.values.device):
        blocks = (count, -(-size // BLOCKS["BLOCK_S"]))
        kernels.score[blocks](**vars(pool), **shared, **BLOCKS, size=size)
        for step in range(steps):
            stream = stream_of((*key, step))
            for number, generation in enumerate(generations):
                _breed(model, patches, pool, shared, options, generation, stream, number)
            pool = _best(pool, size, sets.latents)
    return PackedStates(pool.pool[:, :size], pool.scores[:, :size], sets.latents)


def _generations(options: SearchOptions, size: int, latents: int) -> list[_Generation]:
    """Parents come from the population, and later from the last children."""
    generations, from_place, candidates, done = [], 0, size, size
    for _ in range(options.generations):
        parents, children = min(options.parents, candidates), min(options.children, latents)
        generations.append(_Generation(from_place, candidates, done, parents, children))
        from_place, candidates = done, parents * children
        done += candidates
    return generations


def _breed(
    model: BinaryVAE,
    patches: Patches,
    pool: _Pool,
    shared: dict[str, Any],
    options: SearchOptions,
    generation: _Generation,
    stream: int,
    number: int,
) -> None:
    from denoise.kernels import breeding_triton as breeding_kernel

    drawn = options.parent_selection != "best"
    # `PatchRandom` counts its calls: one to select parents, unless they are the best, one to flip.
    last_call = (number + 1) * (1 + drawn)
    breeding_kernel.breed[(len(patches) * generation.parents,)](
        **vars(pool),
        **shared,
        **vars(generation),
        index=patches.index,
        flip_cost=model.flip_cost,
        stream=stream,
        select_call=last_call - 1,
        flip_call=last_call,
        SELECTION=options.parent_selection,
        GUIDED=options.mutation == "guided",
        BLOCK_C=power_of_two(generation.candidates),
        BLOCK_M=max(power_of_two(generation.children), LEAST_BLOCK),
        BLOCK_H=power_of_two(len(model.prior_probs)),
        BLOCK_B=power_of_two(pool.pool.shape[2]),
        CHUNK=BLOCKS["BLOCK_H"],
    )


def _best(pool: _Pool, size: int, latents: int) -> _Pool:
    """Another pool, with the `size` best distinct states of this one at its start."""
    from denoise.kernels import evolution_triton as kernels

    count, total = pool.scores.shape
    blocks = (count, -(-total // COMPARED))
    sizes = {"BLOCK_S": COMPARED, "BLOCK_T": power_of_two(total), **OPTIONS}
    kernels.drop_repeats[blocks](pool.codes, pool.scores, total, **sizes)
    kept = _Pool(*(torch.empty_like(part) for part in vars(pool).values()))
    width = power_of_two(pool.pool.shape[2])
    kernels.keep_best[blocks](
        **vars(pool),
        **{f"new_{name}": part for name, part in vars(kept).items()},
        total=total,
        size=size,
        latents=latents,
        BLOCK_B=width,
        **sizes,
    )
    return kept
