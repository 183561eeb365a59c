"""Learning the VAE on a set of patches: search (E-step) and gradient (M-step) in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from denoise.errors import TrainingError
from denoise.model import BinaryVAE
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.randomness import PatchRandom
from denoise.search import CALIBRATION_STATES, evolve
from denoise.states import LatentStates


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


@dataclass
class Totals:
    """Posterior expectations summed over the patches of an epoch; they stay on the device."""

    elbo: Tensor  # ()
    squared_error: Tensor  # ()
    latents: Tensor  # (H,)

    @classmethod
    def zero(cls, model: BinaryVAE) -> Totals:
        zero = torch.zeros_like(model.noise_variance)
        return cls(zero, zero.clone(), torch.zeros_like(model.prior_probs))


def train(
    model: BinaryVAE,
    patches: Patches,
    states: LatentStates,
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
    states : their S states each, improved in place; log joints need not be set
    learn_noise_variance : update the noise variance in closed form once annealing is over
    seed : names the random numbers

    Raises
    ------
    TrainingError
        If the ELBO is not finite after an epoch.
    """
    optimizer, scheduler = _optimizer(model, training, patch_count=len(patches))
    given_variance = model.noise_variance
    start_variance = _start_variance(patches, given_variance, training)
    annealing_epochs = round(training.annealing * training.epochs)
    held_epochs = round(training.prior_hold * training.epochs)
    degrees_of_freedom = model.degrees_of_freedom(patches).sum().clamp(min=1)

    model.noise_variance = start_variance
    for epoch in range(1, training.epochs + 1):
        totals = _epoch(
            model,
            patches,
            states,
            optimizer,
            scheduler,
            search,
            training.batch_size,
            (seed, epoch),
        )
        residual_variance = totals.squared_error / degrees_of_freedom
        if epoch > held_epochs:
            model.update_prior(totals.latents / len(patches))
        if epoch < annealing_epochs:
            model.noise_variance = start_variance.lerp(given_variance, epoch / annealing_epochs)
        elif learn_noise_variance:
            model.update_noise_variance(residual_variance)
        else:
            model.noise_variance = given_variance
        yield _stats(epoch, totals, residual_variance, patch_count=len(patches))


def _epoch(
    model: BinaryVAE,
    patches: Patches,
    states: LatentStates,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    search: SearchOptions,
    batch_size: int,
    key: tuple[int, int],
) -> Totals:
    """One pass over the patches in random order: search, then a gradient step, per batch."""
    if search.mutation == "guided":
        model.calibrate_flips(states.states[:CALIBRATION_STATES, 0])
    totals = Totals.zero(model)
    order = PatchRandom((*key, 0), patches.index).uniform().argsort()
    for rows in order.split(batch_size):
        batch, batch_states = patches[rows], states.states[rows]
        with torch.no_grad():
            population = LatentStates(batch_states, model.log_joints(batch, batch_states))
            random = PatchRandom((*key, 1), batch.index)
            found = evolve(model, batch, population, search, random=random)
        states.write(rows, found)
        gradient_step(model, batch, found, optimizer, totals)
        scheduler.step()
    return totals


def gradient_step(
    model: BinaryVAE, patches: Patches, states: LatentStates, optimizer: Optimizer, totals: Totals
) -> None:
    """Ascend the mean ELBO in theta; adds the batch's posterior expectations to `totals`.

    The posterior weights are the softmax of the log joints, so the gradient of
    the ELBO is that of the weighted squared error, over -2 sigma^2.
    """
    weights = states.posterior_weights()
    latents = states.states.to(weights.dtype)
    errors = model.squared_errors(patches, model.decoder(latents))
    squared_error = (weights * errors).sum()
    optimizer.zero_grad()
    (squared_error / (2 * model.noise_variance * len(patches))).backward()
    optimizer.step()
    totals.elbo += states.elbo().sum()
    totals.squared_error += squared_error.detach()
    totals.latents += (weights[:, :, None] * latents).sum((0, 1))


def _optimizer(
    model: BinaryVAE, training: TrainingOptions, *, patch_count: int
) -> tuple[Adam, LRScheduler]:
    lowest, highest = training.learning_rate
    optimizer = Adam(model.decoder.parameters(), lr=highest, fused=True)
    steps = -(-patch_count // training.batch_size)
    if training.schedule == "cyclic":
        half_cycle = training.half_cycle * steps
        return optimizer, CyclicLR(
            optimizer, lowest, highest, step_size_up=half_cycle, cycle_momentum=False
        )
    return optimizer, OneCycleLR(
        optimizer,
        highest,
        total_steps=steps * training.epochs + 1,
        div_factor=highest / lowest,
        final_div_factor=1,
        cycle_momentum=False,
    )


def _start_variance(patches: Patches, given: Tensor, training: TrainingOptions) -> Tensor:
    """Noise variance of the first epoch."""
    if training.initial_noise is not None:
        return given * training.initial_noise
    mean = patches.values.sum() / patches.mask.sum()
    deviations = (patches.values - mean) * patches.mask
    return deviations.square().sum() / patches.mask.sum()


def _stats(
    epoch: int, totals: Totals, residual_variance: Tensor, *, patch_count: int
) -> EpochStats:
    elbo = float(totals.elbo) / patch_count
    if not math.isfinite(elbo):
        raise TrainingError(
            f"the ELBO became {elbo} in epoch {epoch}; use another --seed or a lower learning rate"
        )
    return EpochStats(
        epoch,
        elbo,
        residual_variance=float(residual_variance),
        active_latents=float(totals.latents.sum()) / patch_count,
    )
