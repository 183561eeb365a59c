"""M-step of `MLPVAE`: steps of Adam up the ELBO (Drefs et al. 2022)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam

from denoise.kernels import mlp
from denoise.options import TrainingOptions
from denoise.patches import Patches
from denoise.vae.batch_sums import BatchSums
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.stored_states import PackedStates, StateSets

# The one-cycle rate rises for this share of the training.
RISING_SHARE = 0.3


class GradientLearner:
    """Ascends the mean ELBO in the weights of the MLP by Adam.

    The posterior weights are the softmax of the log joints, so the gradient of
    the ELBO is that of the weighted log joints.
    """

    shuffles: ClassVar[bool] = True

    def __init__(self, model: MLPVAE, training: TrainingOptions, *, patch_count: int) -> None:
        steps = -(-patch_count // training.batch_size)
        rates = [
            learning_rate(training, step, steps_per_epoch=steps)
            for step in range(steps * training.epochs)
        ]
        self._model = model
        self._adam = _Adam([one.detach() for one in model.mlp.parameters()], rates)

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """One gradient step."""
        gradients, sums = gradient(self._model, patches, states, count=len(patches))
        self._adam.step(gradients)
        return sums


class _Adam:
    """Adam (Kingma and Ba 2015) whose schedule of rates is on the device, as a CUDA graph needs it.

    The class of torch does the same, but loads a compiler at its first use, for a second.
    """

    def __init__(self, parameters: list[Tensor], rates: list[float]) -> None:
        self._parameters = parameters
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        device = parameters[0].device
        self._steps = [torch.zeros((), device=device) for _ in parameters]
        self._rates = torch.tensor(rates, dtype=torch.float32, device=device)
        self._number = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...]) -> None:
        """Change the parameters."""
        # `adam` takes for granted that a gradient lies in memory as its parameter does.
        gradients = tuple(
            one if one.stride() == like.stride() else torch.empty_like(like).copy_(one)
            for one, like in zip(gradients, self._parameters, strict=True)
        )
        rate = self._rates.take(self._number)
        self._number.add_(1)
        adam(
            self._parameters,
            list(gradients),
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
            capturable=rate.is_cuda,
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
    model: MLPVAE, patches: Patches, states: StateSets, *, count: int = 1
) -> tuple[tuple[Tensor, ...], BatchSums]:
    """Gradient of minus the sum of the ELBOs in the MLP's weights, divided by `count`.

    Returns
    -------
    the gradients for each parameter, and sums over the patches
    """
    network = model.network(patches)
    if network is not None:
        packed = states if isinstance(states, PackedStates) else PackedStates.of(states)
        gradients, sums = mlp.gradient(network, packed.packed, packed.log_joints, count=count)
        return gradients, BatchSums(sums)
    weights, bits = states.posterior_weights(), states.bits
    # States that would be lost in rounding are left out, to save time.
    row, place = (weights > torch.finfo(weights.dtype).eps).nonzero(as_tuple=True)
    likely = model.residuals(patches[row], bits[row, place][:, None])
    errors = (weights[row, place] * likely.square().sum((1, 2))).sum()
    parameters = list(model.mlp.parameters())
    gradients = torch.autograd.grad(errors / (2 * count * model.noise_variance), parameters)
    latents = (weights[:, :, None] * bits).sum((0, 1))
    return gradients, BatchSums.of(latents, errors.detach(), states.elbo().sum())
