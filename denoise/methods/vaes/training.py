"""One way to train them all: Adam on random batches of patches, then under the posterior."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from denoise.errors import TrainingError
from denoise.methods.vaes.interface import PatchVAE, TrainingStats, VAETraining

# Longer gradients are cut; single patches far from the rest cause them.
LARGEST_GRADIENT = 100.0
# Patches that the diagnostics are taken on.
DIAGNOSED_PATCHES = 8192


def fit(
    model: PatchVAE,
    patches: Tensor,
    training: VAETraining,
    *,
    generator: torch.Generator,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> TrainingStats:
    """Train a model in place.

    Parameters
    ----------
    patches : (N, D) float, N training patches with noise of variance 1
    generator : on the CPU; order of the patches and draws of the latents
    on_epoch : called with the number of finished epochs

    Raises
    ------
    TrainingError
        If the loss is not finite after an epoch.
    """
    steps_per_epoch = -(-len(patches) // training.batch_size)
    steps = training.epochs * steps_per_epoch
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = Adam(trained, lr=training.learning_rate)
    schedule = OneCycleLR(
        optimizer, training.learning_rate, total_steps=steps + 1, cycle_momentum=False
    )
    losses = []
    for epoch in range(training.epochs):
        total = 0.0
        order = torch.randperm(len(patches), generator=generator).to(patches.device)
        for number, rows in enumerate(order.split(training.batch_size)):
            progress = (epoch * steps_per_epoch + number) / steps
            optimizer.zero_grad()
            loss = model.loss(patches[rows], progress=progress, generator=generator)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(total / len(patches))
        if not math.isfinite(losses[-1]):
            raise TrainingError(
                f"the loss became {losses[-1]} in epoch {epoch + 1};"
                " use another seed or a lower learning rate"
            )
        on_epoch(epoch + 1)
    posterior = model.options.posterior
    if posterior is not None:
        finished = itertools.count(training.epochs + 1)
        model.learn_posterior(
            patches, posterior, generator=generator, on_epoch=lambda: on_epoch(next(finished))
        )
    # A copy: diagnostics change no result.
    copy = generator.clone_state()
    diagnostics = model.diagnostics(patches[:DIAGNOSED_PATCHES], generator=copy)
    return TrainingStats(tuple(losses), diagnostics)
