"""Evolutionary search with an MLP as mean, by Triton kernels; the plain twin is `vae/search.py`.

The kernels share a pool of T places for packed states of each patch: first its S states, then the
children of each generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from denoise.kernels.constants import latent_keys
from denoise.kernels.launching import launch, power_of_two
from denoise.kernels.mlp import BLOCKS, LEAST_BLOCK, Network

# Places of a patch that a program compares with all others.
COMPARED = 8
# Places of a patch, and children of a parent; more do not fit into registers.
MOST_PLACES, MOST_CHILDREN = 2048, 16


class Breeding(NamedTuple):
    """How a search step breeds, as in `options.SearchOptions`.

    Attributes
    ----------
    parents, children, generations : numbers of each
    selection : "fitness", "best" or "uniform"
    guided : whether flips follow the gradient
    """

    parents: int
    children: int
    generations: int
    selection: str
    guided: bool

    def is_compiled(self, states: int) -> bool:
        """Whether there are kernels for this search, given that there are some for the network."""
        places = states + self.generations * self.parents * self.children
        return self.children <= MOST_CHILDREN and places <= MOST_PLACES


class _Pool(NamedTuple):
    """T places for packed states of each patch; codes tell states apart."""

    pool: Tensor
    codes: Tensor
    scores: Tensor


class _Generation(NamedTuple):
    """Where the parents of a generation are looked for, and where its children go."""

    from_place: int
    candidates: int
    to_place: int
    parents: int
    children: int


@torch.no_grad()
def improve(
    network: Network,
    prior: Tensor,
    flip_cost: Tensor,
    index: Tensor,
    packed: Tensor,
    log_joints: Tensor,
    breeding: Breeding,
    streams: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Score states under the present parameters and take some steps, as `search.improve`.

    Parameters
    ----------
    prior, flip_cost : (H,) float, pi and the mean cost of each flip
    index : (N,) int64, numbers of the patches, which name their random numbers
    packed, log_joints : states; of the log joints only -inf matters, which marks an empty place
    streams : of random numbers, one for each step (`randomness.stream_of`)

    Returns
    -------
    packed, log_joints : of the same shapes, perhaps views of larger tensors
    """
    from denoise.kernels import evolution_triton

    (count, size), latents = log_joints.shape, len(prior)
    generations = _generations(breeding, size, latents)
    total = generations[-1].to_place + generations[-1].parents * generations[-1].children
    pool = _pool(packed, log_joints, total)
    keys = latent_keys(latents, prior.device)
    shared = network.arguments() | {"prior": prior, "keys": keys, "total": total}
    launch(
        evolution_triton.score,
        (count, -(-size // BLOCKS["BLOCK_S"])),
        **pool._asdict(),
        **shared,
        **BLOCKS,
        size=size,
    )
    shared |= {"flip_cost": flip_cost, "index": index}
    for random_stream in streams:
        for number, generation in enumerate(generations):
            _breed(pool, shared, breeding, generation, random_stream, number)
        pool = _best(pool, size, latents)
    return pool.pool[:, :size], pool.scores[:, :size]


def _pool(packed: Tensor, log_joints: Tensor, total: int) -> _Pool:
    """The states at the start, and room for others."""
    count, size, stride = packed.shape
    pool = packed.new_empty(count, total, stride)
    pool[:, :size] = packed
    scores = log_joints.new_empty(count, total)
    scores[:, :size] = log_joints
    return _Pool(pool, torch.empty_like(scores, dtype=torch.int64), scores)


def _generations(breeding: Breeding, size: int, latents: int) -> list[_Generation]:
    """Parents come from the states at first, and later from the last children."""
    generations, from_place, candidates, done = [], 0, size, size
    for _ in range(breeding.generations):
        parents, children = min(breeding.parents, candidates), min(breeding.children, latents)
        generations.append(_Generation(from_place, candidates, done, parents, children))
        from_place, candidates = done, parents * children
        done += candidates
    return generations


def _breed(
    pool: _Pool,
    shared: dict[str, Any],
    breeding: Breeding,
    generation: _Generation,
    random_stream: int,
    number: int,
) -> None:
    from denoise.kernels import breeding_triton

    patches, latents = len(pool.scores), pool.pool.shape[2] * 8
    drawn = breeding.selection != "best"
    # Timed on an H200: fewer warps wait less for each other, and a parent is little work.
    given = shared | {"warps": shared["warps"] // 2}
    # `PatchRandom` counts its calls: one to select parents, unless they are the best, one to flip.
    last_call = (number + 1) * (1 + drawn)
    launch(
        breeding_triton.breed,
        (patches * generation.parents,),
        **pool._asdict(),
        **given,
        **generation._asdict(),
        random_stream=random_stream,
        select_call=last_call - 1,
        flip_call=last_call,
        SELECTION=breeding.selection,
        GUIDED=breeding.guided,
        BLOCK_C=power_of_two(generation.candidates),
        BLOCK_M=max(power_of_two(generation.children), LEAST_BLOCK),
        BLOCK_H=power_of_two(latents),
        BLOCK_B=power_of_two(pool.pool.shape[2]),
        CHUNK=BLOCKS["BLOCK_H"],
    )


def _best(pool: _Pool, size: int, latents: int) -> _Pool:
    """Another pool, with the `size` best distinct states of this one at its start."""
    from denoise.kernels import evolution_triton

    count, total = pool.scores.shape
    grid = (count, -(-total // COMPARED))
    blocks = {"BLOCK_S": COMPARED, "BLOCK_T": power_of_two(total)}
    launch(
        evolution_triton.drop_repeats,
        grid,
        codes=pool.codes,
        scores=pool.scores,
        total=total,
        **blocks,
    )
    kept = _Pool(*map(torch.empty_like, pool))
    launch(
        evolution_triton.keep_best,
        grid,
        **pool._asdict(),
        **{f"new_{name}": part for name, part in kept._asdict().items()},
        total=total,
        size=size,
        latents=latents,
        BLOCK_B=power_of_two(pool.pool.shape[2]),
        **blocks,
    )
    return kept
