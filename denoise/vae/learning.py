"""M-step: how the decoder follows from the states of a batch of patches."""

from __future__ import annotations

from typing import Protocol

from denoise.options import TrainingOptions
from denoise.patches import Patches
from denoise.vae.batch_sums import BatchSums
from denoise.vae.closed_form import AmplitudeLearner
from denoise.vae.gradient import GradientLearner
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import StateSets


class Learner(Protocol):
    """Improves the decoder of a model in place."""

    def prepare(self) -> None:
        """Do what a batch needs of the CPU, such as setting the learning rate."""

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """Update the decoder from a batch and its scored states, after `prepare`."""


def make_learner(model: BinaryVAE, training: TrainingOptions, *, patch_count: int) -> Learner:
    """The learner that fits the model's decoder."""
    gradient = None
    if model.decoder is not None:
        steps = -(-patch_count // training.batch_size)
        gradient = GradientLearner(model, model.decoder, training, steps_per_epoch=steps)
    if model.amplitudes is not None:
        memory = training.memory * patch_count
        return AmplitudeLearner(model, memory=memory, gradient=gradient)
    assert gradient is not None
    return gradient
