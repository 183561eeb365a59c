"""M-step of the decoder mu: steps of Adam up the ELBO."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from denoise.halving import Halving
from denoise.kernels import mlp_gpu as perceptron
from denoise.options import TrainingOptions
from denoise.patches import Patches
from denoise.vae.batch_sums import BatchSums
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import PackedStates, StateSets

# The one-cycle rate rises for this share of the training.
RISING_SHARE = 0.3


class GradientLearner:
    """Ascends the mean ELBO in the weights of the decoder mu by Adam (Drefs et al. 2022).

    The posterior weights are the softmax of the log joints, so the gradient of
    the ELBO is that of the weighted log joints.
    """

    def __init__(
        self,
        model: BinaryVAE,
        decoder: nn.Module,
        training: TrainingOptions,
        *,
        steps_per_epoch: int,
    ) -> None:
        self._model = model
        self._training = training
        self._steps_per_epoch = steps_per_epoch
        self._halving = Halving()
        self._adam = _Adam([parameter.detach() for parameter in decoder.parameters()])
        self._step = 0

    def prepare(self) -> None:
        """Set the learning rate of the next step."""
        rate = learning_rate(self._training, self._step, steps_per_epoch=self._steps_per_epoch)
        self._adam.rate.fill_(rate)
        self._step += 1

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """One gradient step."""
        count = len(patches)
        parts = self._halving.in_parts(
            lambda rows: gradient(self._model, patches[rows], states[rows], count=count), count
        )
        slopes, sums = parts[0]
        for more, other in parts[1:]:
            slopes = tuple(map(torch.add, slopes, more))
            sums.add_(other)
        self._adam.step(slopes)
        return sums


class _Adam:
    """Adam (Kingma and Ba 2015) with its rate, like all it knows, on the device.

    torch's own class is made to be stepped either from the CPU or in a recording.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self._parameters = parameters
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        scalar = torch.zeros((), dtype=torch.float32, device=parameters[0].device)
        self._steps = [scalar.clone() for _ in parameters]
        self.rate = scalar

    @torch.no_grad()
    def step(self, slopes: tuple[Tensor, ...]) -> None:
        """Change the parameters."""
        # `adam` takes for granted that a slope lies in memory as its parameter does.
        slopes = tuple(
            slope if slope.stride() == like.stride() else torch.empty_like(like).copy_(slope)
            for slope, like in zip(slopes, self._parameters, strict=True)
        )
        adam(
            self._parameters,
            list(slopes),
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
            capturable=self.rate.is_cuda,
        )


def learning_rate(training: TrainingOptions, step: int, *, steps_per_epoch: int) -> float:
    """The rate of step number `step` from 0 on, "cyclic" or "one-cycle" (Smith 2017)."""
    lowest, highest = training.learning_rate
    if training.schedule == "cyclic":
        half_cycle = training.half_cycle * steps_per_epoch
        return highest - (highest - lowest) * abs(1 - step % (2 * half_cycle) / half_cycle)
    last = max(steps_per_epoch * training.epochs, 1)
    peak = RISING_SHARE * (last + 1) - 1
    done = step / peak if step <= peak else (last - step) / (last - peak)
    return lowest + (highest - lowest) * (1 - math.cos(math.pi * done)) / 2


def gradient(
    model: BinaryVAE, patches: Patches, states: StateSets, *, count: int = 1
) -> tuple[tuple[Tensor, ...], BatchSums]:
    """Slopes in the decoder's weights of minus the sum of the ELBOs, divided by `count`.

    Returns
    -------
    the slopes for each parameter, and sums over the patches
    """
    assert model.decoder is not None
    if perceptron.supports(model, patches):
        packed = states if isinstance(states, PackedStates) else PackedStates.of(states)
        return perceptron.gradient(model, patches, packed, count=count)
    weights = states.posterior_weights()
    bits = states.states
    residuals = model.residuals(patches, bits)
    # For a fixed posterior of the amplitudes, the gradient is that of the expected squared error.
    posterior = model.amplitude_posterior(patches, bits, residuals.detach())
    errors = (weights * model.expected_squared_errors(residuals, posterior)).sum()
    parameters = list(model.decoder.parameters())
    slopes = torch.autograd.grad(errors / (2 * count * model.noise_variance), parameters)
    latents = (weights[:, :, None] * bits).sum((0, 1))
    return slopes, BatchSums.of(latents, errors.detach(), states.elbo().sum())
