"""Learning the VAE on a set of patches: search (E-step) and learning (M-step) in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.errors import TrainingError
from denoise.halving import Halving
from denoise.learning import BatchSums, make_learner
from denoise.model import BinaryVAE
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.randomness import PatchRandom
from denoise.search import CALIBRATION_STATES, improve
from denoise.stored_states import StoredStates


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


def train(
    model: BinaryVAE,
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
    learner = make_learner(model, training, patch_count=len(patches))
    given_variance = model.noise_variance
    start_variance = _start_variance(patches, given_variance, training)
    # A start that differs from the given variance is left within an epoch at least.
    annealing_patches = max(training.annealing * training.epochs, 1.0) * len(patches)
    held_epochs = round(training.prior_hold * training.epochs)
    degrees_of_freedom = model.degrees_of_freedom(patches).sum().clamp(min=1)

    done, halving = 0, Halving()
    for epoch in range(1, training.epochs + 1):
        if search.mutation in ("guided", "neighbours"):
            model.calibrate_flips(states[:CALIBRATION_STATES].states[:, 0])
        annealed = done >= annealing_patches
        sums = BatchSums.zero(model)
        for rows in _batches(patches, model, training.batch_size, key=(seed, epoch, 0)):
            if not annealed:
                share = min(done / annealing_patches, 1.0)
                model.noise_variance = start_variance.lerp(given_variance, share)
            batch = patches[rows]
            key = (seed, epoch, 1)
            found = _searched(model, batch, states[rows], search, key=key, halving=halving)
            states.write(rows, found)
            sums += learner.learn(batch, found)
            done += len(batch)
        residual_variance = sums.squared_error / degrees_of_freedom
        if epoch > held_epochs:
            model.update_prior(sums.latents / len(patches))
        if done >= annealing_patches:
            if learn_noise_variance:
                model.update_noise_variance(residual_variance)
            else:
                model.noise_variance = given_variance
        yield _stats(epoch, sums, residual_variance, patch_count=len(patches))


@torch.no_grad()
def _searched(
    model: BinaryVAE,
    patches: Patches,
    sets: StoredStates,
    search: SearchOptions,
    *,
    key: tuple[int, ...],
    halving: Halving,
) -> StoredStates:
    """The sets after a search step, in parts if memory does not suffice."""

    def improve_part(rows: slice) -> None:
        sets.write(rows, improve(model, patches[rows], sets[rows], search, key=key))

    halving.in_parts(improve_part, len(patches))
    return sets


def _batches(
    patches: Patches, model: BinaryVAE, size: int, *, key: tuple[int, ...]
) -> Iterator[Tensor | slice]:
    """Rows of the batches of an epoch.

    Gradient steps want another order every time; for closed forms the patches, drawn at
    random, stay as they lie, which saves copies.
    """
    if model.decoder is not None:
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
            f"the ELBO became {elbo} in epoch {epoch}; use another --seed or a lower learning rate"
        )
    return EpochStats(
        epoch,
        elbo,
        residual_variance=float(residual_variance),
        active_latents=float(sums.latents.sum()) / patch_count,
    )
