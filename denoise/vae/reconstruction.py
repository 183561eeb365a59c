"""A learned model applied to every patch of an image: posterior means, merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.devices import PartsThatFit
from denoise.errors import ImageError
from denoise.options import InferenceOptions, SearchOptions
from denoise.patches import Patches, PatchGrid, PatchMerger
from denoise.vae.model import BinaryVAE
from denoise.vae.search import calibrate, improve
from denoise.vae.stored_states import StateSets

# Less likely states are left out of the variance, to save time.
LEAST_WEIGHT_IN_VARIANCE = 1e-4


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
    calibrate(model, start.pool, search)
    means = PatchMerger(grid, like=image)
    variances = PatchMerger(grid, like=None) if with_variance else None
    finished, parts = 0, PartsThatFit()
    for chunk in grid.every(inference.stride).split(inference.chunk_size):

        def rebuild(rows: slice, chunk: Tensor = chunk) -> _Rebuilt:
            patches = Patches.from_raw(grid.extract(image, chunk[rows]), chunk[rows])
            states = start.states(model, patches, search.states)
            key, steps = (seed, 0), inference.search_steps
            states = improve(model, patches, states, search, key=key, steps=steps)
            mean, variance = model.posterior_mean(patches, states), None
            if with_variance:
                _, variance = model.posterior_moments(
                    patches, states, least_weight=LEAST_WEIGHT_IN_VARIANCE
                )
            return _Rebuilt(patches, mean, variance)

        for part in parts.results(rebuild, len(chunk)):
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

    If every patch has been trained on, each has its own states; else the model gives them
    (`BinaryVAE.start_states`).

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
        return model.start_states(patches, self.pool, count)
