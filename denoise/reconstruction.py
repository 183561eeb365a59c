"""A learned model applied to every patch of an image: posterior means, merged."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.model import BinaryVAE
from denoise.options import InferenceOptions, SearchOptions
from denoise.patches import Patches, PatchGrid
from denoise.randomness import PatchRandom
from denoise.search import evolve
from denoise.states import LatentStates


@torch.no_grad()
def rebuild_image(
    model: BinaryVAE,
    image: Tensor,
    grid: PatchGrid,
    trained: LatentStates,
    trained_index: Tensor,
    *,
    search: SearchOptions,
    inference: InferenceOptions,
    seed: int,
    on_patches: Callable[[int], None],
) -> Tensor:
    """Average the posterior means of all overlapping patches.

    Parameters
    ----------
    image : (height, width, C) float, NaN where missing
    trained, trained_index : states of the training patches and the patches' numbers
    on_patches : called with the number of finished patches after each chunk

    Returns
    -------
    (height, width, C) float
    """
    # Once every patch has been trained on, each one's own states are the best start.
    own_rows = trained_index.argsort() if len(trained_index) == len(grid) else None
    pool = most_used_states(trained, inference.pool_size)
    merger = grid.merger()
    for index in torch.arange(len(grid), device=image.device).split(inference.chunk_size):
        patches = Patches.from_raw(grid.extract(image, index), index)
        if own_rows is None:
            states = states_from_pool(model, patches, pool, search.states)
        else:
            own = trained.states[own_rows[index]]
            states = LatentStates(own, model.log_joints(patches, own))
        for step in range(inference.search_steps):
            random = PatchRandom((seed, 0, step), index)
            states = evolve(model, patches, states, search, random=random)
        merger.add(posterior_mean(model, patches, states), index)
        on_patches(int(index[-1]) + 1)
    return merger.image()


def most_used_states(states: LatentStates, count: int) -> Tensor:
    """States that are the likeliest of the most patches: (M, H) bool, M <= `count`."""
    best = states.best(1).states[:, 0]
    distinct, uses = torch.unique(best, dim=0, return_counts=True)
    pool: Tensor = distinct[uses.argsort(descending=True, stable=True)[:count]]
    return pool


def states_from_pool(model: BinaryVAE, patches: Patches, pool: Tensor, count: int) -> LatentStates:
    """The `count` best states of `pool` (M, H) for each patch; places beyond M stay empty."""
    ranking = model.pool_log_joints(patches, pool)  # (N, M)
    chosen = ranking.topk(min(count, len(pool)), dim=1).indices
    states = pool[chosen]
    log_joints = model.log_joints(patches, states)
    empty = count - chosen.shape[1]
    return LatentStates(
        torch.cat([states, states[:, :1].expand(-1, empty, -1)], 1),
        pad(log_joints, (0, empty), value=-torch.inf),
    )


def posterior_mean(model: BinaryVAE, patches: Patches, states: LatentStates) -> Tensor:
    """Expected noise-free patches under the truncated posterior, missing pixels too: (N, D)."""
    reconstructions = model.reconstructions(patches, states.states)
    mean: Tensor = (states.posterior_weights()[:, :, None] * reconstructions).sum(1)
    return mean
