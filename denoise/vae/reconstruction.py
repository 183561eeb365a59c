"""A learned model applied to every patch of an image: posterior means, merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.errors import ImageError
from denoise.halving import Halving
from denoise.merging import PatchMerger
from denoise.options import InferenceOptions, SearchOptions
from denoise.patches import Patches, PatchGrid
from denoise.vae import fast_path
from denoise.vae.model import BinaryVAE
from denoise.vae.search import CALIBRATION_STATES, improve
from denoise.vae.states import LatentStates
from denoise.vae.stored_states import StateSets, no_latents_on

# Less likely states are not worth their time in the variance.
LEAST_WEIGHT = 1e-4


@dataclass(frozen=True)
class Reconstruction:
    """What a model makes of an image.

    Attributes
    ----------
    image : (height, width, C) float, posterior mean; NaN where no patch has an observed value
    variance : (height, width, C) float, posterior variance, or None if not asked for
    """

    image: Tensor
    variance: Tensor | None


@dataclass(frozen=True)
class _Rebuilt:
    """Some patches, their posterior means (N, D) and, if asked for, variances (N, D)."""

    patches: Patches
    mean: Tensor
    variance: Tensor | None


@torch.no_grad()
def rebuild_image(
    model: BinaryVAE,
    image: Tensor,
    grid: PatchGrid,
    start: StartStates,
    *,
    search: SearchOptions,
    inference: InferenceOptions,
    seed: int,
    with_variance: bool,
    on_patches: Callable[[int], None],
) -> Reconstruction:
    """Average the posterior means, and variances, of all overlapping patches.

    A patch weighs as much as the share of its values that was observed.

    Parameters
    ----------
    image : (height, width, C) float, NaN where missing
    start : the states that the search starts from
    on_patches : called with the number of finished patches after each chunk
    """
    if search.mutation in ("guided", "neighbours"):
        model.calibrate_flips(start.pool[:CALIBRATION_STATES])
    means = PatchMerger(grid, like=image)
    variances = PatchMerger(grid, like=None) if with_variance else None
    finished = 0
    halving = Halving()
    for chunk in torch.arange(len(grid), device=image.device).split(inference.chunk_size):

        def rebuild(rows: slice, chunk: Tensor = chunk) -> _Rebuilt:
            patches = Patches.from_raw(grid.extract(image, chunk[rows]), chunk[rows])
            states = start.states(model, patches, search.states)
            key, steps = (seed, 0), inference.search_steps
            states = improve(model, patches, states, search, key=key, steps=steps)
            mean, variance = posterior_mean(model, patches, states), None
            if with_variance:
                variance = posterior_moments(model, patches, states, least_weight=LEAST_WEIGHT)[1]
            return _Rebuilt(patches, mean, variance)

        for part in halving.in_parts(rebuild, len(chunk)):
            weights = part.patches.observed_counts / part.mean.shape[1]
            means.add(part.mean, part.patches.index, weights)
            if variances is not None and part.variance is not None:
                variances.add(part.variance, part.patches.index, weights)
        finished += len(chunk)
        on_patches(finished)
    return Reconstruction(means.image(), None if variances is None else variances.image())


def averaged(rebuilt: Sequence[Reconstruction]) -> Reconstruction:
    """Mean of what several models make of an image; its variance is the mean of theirs.

    Raises
    ------
    ImageError
        If a missing pixel is further than a patch from every observed one, for all models.
    """
    image = torch.stack([one.image for one in rebuilt]).nanmean(0)
    if image.isnan().any():
        raise ImageError(
            "some missing pixels are further than a patch from any observed one and cannot be"
            " filled in; use larger patches or crop the image"
        )
    variances = [one.variance for one in rebuilt if one.variance is not None]
    return Reconstruction(image, torch.stack(variances).nanmean(0) if variances else None)


class StartStates:
    """The states that the search starts from, for any patch of the image.

    Once every patch has been trained on, each one has its own; else the states that
    training patches use most are tried on all or, for the amplitude model, the search
    starts with no latent on.

    Parameters
    ----------
    pool : (M, H) bool, the most used states
    trained, trained_index : states of all patches of the image, and the patches' numbers
    """

    def __init__(
        self,
        pool: Tensor,
        trained: StateSets | None = None,
        trained_index: Tensor | None = None,
    ) -> None:
        self.pool = pool
        self._trained = trained
        self._rows = None if trained_index is None else trained_index.argsort()

    def states(self, model: BinaryVAE, patches: Patches, count: int) -> StateSets:
        """`count` states for each patch; -inf marks empty places."""
        if self._trained is not None and self._rows is not None:
            return self._trained[self._rows[patches.index]]
        if model.amplitudes is None:
            return states_from_pool(model, patches, self.pool, count)
        return no_latents_on(count, self.pool.shape[1], model.max_active, patches.values)


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


def posterior_mean(model: BinaryVAE, patches: Patches, states: StateSets) -> Tensor:
    """Expected noise-free patches under the truncated posterior, missing pixels too: (N, D)."""
    kernels = fast_path.kernels_for(model, patches, states)
    if kernels is not None:
        return fast_path.posterior_mean(kernels, model, patches, states)
    return posterior_moments(model, patches, states)[0]


def posterior_moments(
    model: BinaryVAE, patches: Patches, states: StateSets, *, least_weight: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the noise-free patches under the truncated posterior: (N, D) each.

    States that weigh less than `least_weight`, at most 1 / S, are left out to save time.
    """
    weights = states.posterior_weights()
    weights = weights.where(weights >= least_weight, 0)
    weights = (weights / weights.sum(1, keepdim=True))[:, :, None]
    row, place = weights[..., 0].nonzero(as_tuple=True)
    likely = model.reconstructions(patches[row], states.states[row, place][:, None])
    means, variances = (torch.zeros_like(weights * values[:1]) for values in likely)
    means[row, place], variances[row, place] = likely[0][:, 0], likely[1][:, 0]
    mean = (weights * means).sum(1)
    spread = (means - mean[:, None]).square()
    return mean, (weights * (variances + spread)).sum(1)
