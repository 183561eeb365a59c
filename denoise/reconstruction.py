"""A learned model applied to every patch of an image: posterior means, merged."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.errors import ImageError
from denoise.model import BinaryVAE
from denoise.options import InferenceOptions, SearchOptions
from denoise.patches import Patches, PatchGrid
from denoise.randomness import PatchRandom
from denoise.search import CALIBRATION_STATES, evolve
from denoise.states import LatentStates, most_used_states


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

    A patch weighs as much as the share of its values that was observed.

    Parameters
    ----------
    image : (height, width, C) float, NaN where missing
    trained, trained_index : states of the training patches, and the patches' numbers
    on_patches : called with the number of finished patches after each chunk

    Returns
    -------
    (height, width, C) float

    Raises
    ------
    ImageError
        If a missing pixel is further than a patch from every observed one.
    """
    start = _Start(model, grid, trained, trained_index, inference.pool_size)
    if search.mutation == "guided":
        model.calibrate_flips(start.pool[:CALIBRATION_STATES])

    merger, finished = grid.merger(), 0
    for index in torch.arange(len(grid), device=image.device).split(inference.chunk_size):
        patches = Patches.from_raw(grid.extract(image, index), index)
        states = start.states(patches, search.states)
        for step in range(inference.search_steps):
            random = PatchRandom((seed, 0, step), index)
            states = evolve(model, patches, states, search, random=random)
        weights = patches.observed_counts / patches.values.shape[1]
        merger.add(posterior_mean(model, patches, states), index, weights)
        finished += len(index)
        on_patches(finished)
    denoised = merger.image()
    if denoised.isnan().any():
        raise ImageError(
            "some missing pixels are further than a patch from any observed one and cannot be"
            " filled in; use larger patches or crop the image"
        )
    return denoised


class _Start:
    """The states that the search starts from, for any patch of the image.

    Once every patch has been trained on, each one has its own; else the states
    that training patches use most are tried on all.
    """

    def __init__(
        self,
        model: BinaryVAE,
        grid: PatchGrid,
        trained: LatentStates,
        trained_index: Tensor,
        pool_size: int,
    ) -> None:
        self._model = model
        self._trained = trained
        self._rows = trained_index.argsort() if len(trained_index) == len(grid) else None
        self.pool = most_used_states(trained, pool_size)

    def states(self, patches: Patches, count: int) -> LatentStates:
        """`count` states for each patch."""
        if self._rows is None:
            return states_from_pool(self._model, patches, self.pool, count)
        own = self._trained.states[self._rows[patches.index]]
        return LatentStates(own, self._model.log_joints(patches, own))


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
