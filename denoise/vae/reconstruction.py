"""A learned model applied to every patch of an image: posterior means, merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.devices import PartsThatFit
from denoise.options import InferenceOptions, SearchOptions
from denoise.patches import Patches, PatchGrid, PatchMerger
from denoise.vae.model import BinaryVAE
from denoise.vae.search import calibrate, improve
from denoise.vae.stored_states import StateSets


@dataclass(frozen=True)
class Reconstruction:
    """What a model makes of an image.

    Attributes
    ----------
    image : (height, width, C) float, posterior mean
    variance : (height, width, C) float, posterior variance, or None if not asked for
    """

    image: Tensor
    variance: Tensor | None

    def completed(self, other: Reconstruction) -> Reconstruction:
        """The other one where this one is NaN."""
        image = torch.where(self.image.isnan(), other.image, self.image)
        if self.variance is None or other.variance is None:
            return Reconstruction(image, None)
        return Reconstruction(
            image, torch.where(self.variance.isnan(), other.variance, self.variance)
        )


@dataclass(frozen=True)
class _RebuiltPatches:
    """Some patches, their numbers, posterior means (N, D) and, if asked for, variances (N, D)."""

    patches: Patches
    index: Tensor
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

    A patch weighs as much as the share of its values that was observed. Holes that are wider than a
    patch are filled from their border inwards: what has been filled in counts as observed for the
    patches further in.

    Parameters
    ----------
    image : (height, width, C) float, NaN where missing, but not everywhere
    start : the states that the search starts from
    on_patches : called with the number of finished patches after each chunk, but for holes
    """
    calibrate(model, start.pool, search)
    rebuild = _Rebuilding(model, grid, start, search, inference, seed, with_variance)
    rebuilt = rebuild(image, grid.every(inference.stride), on_patches)
    while rebuilt.image.isnan().any():
        given = torch.where(image.isnan(), rebuilt.image.to(image.dtype), image)
        inwards = rebuild(given, grid.at_borders(given.isnan().any(2)), lambda finished: None)
        rebuilt = rebuilt.completed(inwards)
    return rebuilt


@dataclass(frozen=True)
class _Rebuilding:
    """What stays the same when parts of an image are rebuilt; see `rebuild_image`."""

    model: BinaryVAE
    grid: PatchGrid
    start: StartStates
    search: SearchOptions
    inference: InferenceOptions
    seed: int
    with_variance: bool

    def __call__(
        self, image: Tensor, index: Tensor, on_patches: Callable[[int], None]
    ) -> Reconstruction:
        """What patches number `index` (N,) say; NaN where none of them has an observed value."""
        means = PatchMerger(self.grid, like=image)
        variances = PatchMerger(self.grid, like=None) if self.with_variance else None
        finished, parts = 0, PartsThatFit()
        for chunk in index.split(self.inference.chunk_size):

            def rebuild(rows: slice, chunk: Tensor = chunk) -> _RebuiltPatches:
                return self._patches(image, chunk[rows])

            for part in parts.results(rebuild, len(chunk)):
                weights = part.patches.observed_counts / part.mean.shape[1]
                means.add(part.mean, part.index, weights)
                if variances is not None and part.variance is not None:
                    variances.add(part.variance, part.index, weights)
            finished += len(chunk)
            on_patches(finished)
        return Reconstruction(means.image(), None if variances is None else variances.image())

    def _patches(self, image: Tensor, index: Tensor) -> _RebuiltPatches:
        """Patches number `index` (N,) under the posterior of their states."""
        patches = Patches.from_raw(self.grid.extract(image, index), self.grid.in_whole(index))
        states = self.start.states(self.model, patches, self.search.states)
        key, steps = (self.seed, 0), self.inference.search_steps
        states = improve(self.model, patches, states, self.search, key=key, steps=steps)
        mean = self.model.posterior_mean(patches, states)
        variance = self.model.posterior_variance(patches, states) if self.with_variance else None
        return _RebuiltPatches(patches, index, mean, variance)


def averaged(rebuilt: Sequence[Reconstruction]) -> Reconstruction:
    """Mean of what several models make of an image; its variance is the mean of theirs."""
    image = torch.stack([one.image for one in rebuilt]).mean(0)
    variances = [one.variance for one in rebuilt if one.variance is not None]
    return Reconstruction(image, torch.stack(variances).mean(0) if variances else None)


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
