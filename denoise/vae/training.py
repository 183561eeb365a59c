"""Learning the VAE on a set of patches: search (E-step) and learning (M-step) in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from denoise.errors import TrainingError
from denoise.kernels.replaying import recorder_on, replayed
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches, Rows
from denoise.vae.batch_sums import BatchSums
from denoise.vae.model import BinaryVAE
from denoise.vae.randomness import PatchRandom
from denoise.vae.search import CALIBRATION_STATES, calibrate, improve
from denoise.vae.stored_states import StateSets, StoredStates


@dataclass(frozen=True)
class EpochStats:
    """What an epoch reports.

    Attributes
    ----------
    epoch : number of finished epochs
    elbo : mean over training patches, in nats; larger is better
    residual_variance : posterior mean of the squared error per value, the closed form of
        sigma^2, in the squared units of the patches
    active_latents : posterior mean of the number of latents that are on
    """

    epoch: int
    elbo: float
    residual_variance: float
    active_latents: float


class Learner(Protocol):
    """The M-step: improves a model in place.

    Attributes
    ----------
    shuffles : whether every epoch takes the patches in another order
    """

    shuffles: ClassVar[bool]

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """Update the model from a batch and its scored states."""


def train(
    model: BinaryVAE,
    learner: Learner,
    patches: Patches,
    states: StoredStates,
    *,
    search: SearchOptions,
    training: TrainingOptions,
    learn_noise_variance: bool,
    seed: int,
) -> Iterator[EpochStats]:
    """Train `model` on `patches` and yield after each epoch (Drefs et al. 2022).

    Parameters
    ----------
    model : improved in place; it comes with the noise variance that is given or first guessed
    learner : of this model
    patches : N training patches
    states : their S states each, improved in place; of the log joints only -inf, which
        marks an empty place, need be set
    learn_noise_variance : update the noise variance in closed form once annealing is over
    seed : names the random numbers

    Raises
    ------
    TrainingError
        If the ELBO is not finite after an epoch.
    """
    given_variance = model.noise_variance
    start_variance = _start_variance(patches, given_variance, training)
    # A start that differs from the given variance is left within an epoch at least.
    annealing_patches = max(training.annealing * training.epochs, 1.0) * len(patches)
    held_epochs = round(training.prior_hold * training.epochs)
    degrees_of_freedom = model.degrees_of_freedom(patches).sum().clamp(min=1)

    done, recorder = 0, recorder_on(patches.values.device) if learner.shuffles else None
    for number in range(1, training.epochs + 1):
        calibrate(model, states[:CALIBRATION_STATES].bits[:, 0], search)
        sums = BatchSums.zero(model)
        epoch = _Epoch(model, learner, patches, states, search, (seed, number, 1), sums)
        annealed = done >= annealing_patches
        step = replayed(epoch.step, recorder) if annealed else epoch.step
        for rows in _batches(patches, training.batch_size, learner, key=(seed, number, 0)):
            if not annealed:
                share = min(done / annealing_patches, 1.0)
                model.noise_variance = start_variance.lerp(given_variance, share)
            step(rows)
            done = min(done + training.batch_size, number * len(patches))
        residual_variance = sums.squared_error / degrees_of_freedom
        if number > held_epochs:
            model.update_prior(sums.latents / len(patches))
        if done >= annealing_patches:
            if learn_noise_variance:
                model.update_noise_variance(residual_variance)
            else:
                model.noise_variance = given_variance
        yield _stats(number, sums, residual_variance, patch_count=len(patches))


@dataclass(frozen=True)
class _Epoch:
    """E-step and M-step on one batch after the other; `sums` adds up what they find."""

    model: BinaryVAE
    learner: Learner
    patches: Patches
    states: StoredStates
    search: SearchOptions
    key: tuple[int, ...]
    sums: BatchSums

    def step(self, rows: Rows) -> None:
        """Improve the states of these patches, then the model."""
        batch = self.patches[rows]
        with torch.no_grad():
            found = improve(self.model, batch, self.states[rows], self.search, key=self.key)
        self.states.write(rows, found)
        self.sums.add_(self.learner.learn(batch, found))


def _batches(
    patches: Patches, size: int, learner: Learner, *, key: tuple[int, ...]
) -> Iterator[Rows]:
    """Rows of the batches of an epoch; where they stay as they lie, no copies are made."""
    if learner.shuffles:
        yield from PatchRandom(key, patches.index).uniform().argsort().split(size)
    else:
        for start in range(0, len(patches), size):
            yield slice(start, start + size)


def _start_variance(patches: Patches, given: Tensor, training: TrainingOptions) -> Tensor:
    """Noise variance of the first epoch."""
    if training.initial_noise is not None:
        return given * training.initial_noise
    mean = patches.values.sum() / patches.mask.sum()
    deviations = (patches.values - mean) * patches.mask
    return deviations.square().sum() / patches.mask.sum()


def _stats(
    epoch: int, sums: BatchSums, residual_variance: Tensor, *, patch_count: int
) -> EpochStats:
    elbo = float(sums.elbo) / patch_count
    if not math.isfinite(elbo):
        raise TrainingError(
            f"the ELBO became {elbo} in epoch {epoch}; use another --seed, and please report it"
        )
    return EpochStats(
        epoch,
        elbo,
        residual_variance=float(residual_variance),
        active_latents=float(sums.latents.sum()) / patch_count,
    )
