"""M-step: how the decoder follows from the states of a batch of patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from denoise import fast_path
from denoise.gpu import perceptron
from denoise.halving import Halving
from denoise.model import BinaryVAE
from denoise.options import TrainingOptions
from denoise.patches import Patches
from denoise.stored_states import PackedStates, StateSets

# Slab variances are absorbed into W within these bounds.
SLAB_BOUNDS = (0.1, 10.0)
# Pulls unused amplitudes to zero, and keeps the system of equations solvable.
RIDGE = 0.5


@dataclass(frozen=True)
class BatchSums:
    """Posterior expectations summed over patches; they stay on the device.

    Attributes
    ----------
    elbo : () float, nats
    squared_error : () float, distance between patches and their noise-free versions
    latents : (H,) float, <z>
    """

    elbo: Tensor
    squared_error: Tensor
    latents: Tensor

    @classmethod
    def zero(cls, model: BinaryVAE) -> BatchSums:
        """Sums over no patches."""
        zero = torch.zeros_like(model.noise_variance)
        return cls(zero, zero, torch.zeros_like(model.prior_probs))

    def __add__(self, other: BatchSums) -> BatchSums:
        return BatchSums(
            self.elbo + other.elbo,
            self.squared_error + other.squared_error,
            self.latents + other.latents,
        )


class Learner(Protocol):
    """Improves the decoder of a model in place."""

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """Update it from a batch of patches and their scored states."""


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
        self._decoder = decoder
        self._halving = Halving()
        self._optimizer = Adam(decoder.parameters(), lr=training.learning_rate[1], fused=True)
        self._schedule = _schedule(self._optimizer, training, steps_per_epoch)

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """One gradient step."""
        parts = self._halving.in_parts(
            lambda rows: gradient(self._model, patches[rows], states[rows]), len(patches)
        )
        slopes = [part[0] for part in parts]
        for parameter, *shares in zip(self._decoder.parameters(), *slopes, strict=True):
            parameter.grad = reduce(torch.add, shares) / len(patches)
        self._optimizer.step()
        self._schedule.step()
        return sum((part[1] for part in parts), BatchSums.zero(self._model))


def gradient(
    model: BinaryVAE, patches: Patches, states: StateSets
) -> tuple[tuple[Tensor, ...], BatchSums]:
    """Slopes of minus the sum of the ELBOs in the decoder's weights, and sums over the batch."""
    assert model.decoder is not None
    if isinstance(states, PackedStates) and perceptron.supports(model, patches):
        found = perceptron.gradient(model, patches, states)
        return found.slopes, BatchSums(states.elbo().sum(), found.squared_error, found.latents)
    weights = states.posterior_weights()
    bits = states.states
    residuals = model.residuals(patches, bits)
    # For a fixed posterior of the amplitudes, the gradient is that of the expected squared error.
    posterior = model.amplitude_posterior(patches, bits, residuals.detach())
    errors = (weights * model.expected_squared_errors(residuals, posterior)).sum()
    parameters = list(model.decoder.parameters())
    slopes = torch.autograd.grad(errors / (2 * model.noise_variance), parameters)
    latents = (weights[:, :, None] * bits).sum((0, 1))
    return slopes, BatchSums(states.elbo().sum(), errors.detach(), latents)


def _schedule(optimizer: Adam, training: TrainingOptions, steps_per_epoch: int) -> LRScheduler:
    lowest, highest = training.learning_rate
    if training.schedule == "cyclic":
        half_cycle = training.half_cycle * steps_per_epoch
        return CyclicLR(optimizer, lowest, highest, step_size_up=half_cycle, cycle_momentum=False)
    return OneCycleLR(
        optimizer,
        highest,
        total_steps=steps_per_epoch * training.epochs + 1,
        div_factor=highest / lowest,
        final_div_factor=1,
        cycle_momentum=False,
    )


@dataclass(frozen=True)
class AmplitudeSums:
    """Posterior expectations that determine W, summed over patches.

    Attributes
    ----------
    latents : (H,) float, <z>
    products : (H, H) float, <a a^T>
    cross : (H, D) float, <a r^T>, r what the mean leaves; what the data do not see
        of r (missing values, a free patch mean) is completed by the model
    """

    latents: Tensor
    products: Tensor
    cross: Tensor

    def decayed(self, share: float, new: AmplitudeSums) -> AmplitudeSums:
        """`share` of the old sums and all of the new ones."""
        return AmplitudeSums(
            share * self.latents + new.latents,
            share * self.products + new.products,
            share * self.cross + new.cross,
        )

    def rescaled(self, factors: Tensor) -> AmplitudeSums:
        """The same for amplitudes divided by `factors` (H,)."""
        products = self.products / factors[:, None] / factors
        return AmplitudeSums(self.latents, products, self.cross / factors[:, None])


class AmplitudeLearner:
    """Closed-form W from sums that forget slowly (stochastic EM).

    W = <a a^T>^-1 <a r^T>; then the variance of each amplitude, 1 under the
    prior, is absorbed into W. A mean decoder, if there is one, takes a gradient
    step first.

    Parameters
    ----------
    memory : patches after which about a third of a batch's sums is left
    gradient : learner of the mean, or None where it is 0
    """

    def __init__(
        self, model: BinaryVAE, *, memory: float, gradient: GradientLearner | None
    ) -> None:
        self._model = model
        self._memory = memory
        self._gradient = gradient
        self._sums: AmplitudeSums | None = None
        self._halving = Halving()

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """Update W."""
        amplitudes = self._model.amplitudes
        assert amplitudes is not None
        if self._gradient is not None:
            self._gradient.learn(patches, states)
        parts = self._halving.in_parts(
            lambda rows: amplitude_sums(self._model, patches[rows], states[rows]), len(patches)
        )
        (new, squared_error), *others = parts
        for sums, error in others:
            new, squared_error = new.decayed(1, sums), squared_error + error
        keep = max(0.0, 1 - len(patches) / self._memory)
        sums = new if self._sums is None else self._sums.decayed(keep, new)

        vectors = solve_amplitudes(sums)
        factors = (
            (sums.products.diagonal() / sums.latents.clamp(min=1e-3)).clamp(*SLAB_BOUNDS).sqrt()
        )
        vectors = vectors * factors[:, None]
        if amplitudes.free_patch_mean:
            vectors = vectors - vectors.mean(1, keepdim=True)
        amplitudes.vectors = vectors
        self._sums = sums.rescaled(factors)
        return BatchSums(states.elbo().sum(), squared_error, new.latents)


def solve_amplitudes(sums: AmplitudeSums) -> Tensor:
    """W that maximises the expected log joint, up to the ridge: (H, D)."""
    ridge = RIDGE * torch.eye(len(sums.products), device=sums.products.device)
    # Does not wait for a GPU to tell whether it went well: the ELBO will.
    factor, failed = torch.linalg.cholesky_ex(sums.products + ridge)
    vectors = torch.cholesky_solve(sums.cross, factor)
    return torch.where(failed == 0, vectors, torch.nan)


@torch.no_grad()
def amplitude_sums(
    model: BinaryVAE, patches: Patches, states: StateSets
) -> tuple[AmplitudeSums, Tensor]:
    """Sums over a batch, and its posterior mean of the squared error, ()."""
    kernels = fast_path.kernels_for(model, patches, states)
    if kernels is not None:
        return _fast_sums(kernels, model, patches, states)
    assert model.amplitudes is not None
    weights = states.posterior_weights()
    bits = states.states
    residuals = model.residuals(patches, bits)
    posterior = model.amplitude_posterior(patches, bits, residuals)
    assert posterior is not None
    errors = (weights * model.expected_squared_errors(residuals, posterior)).sum()

    latents, values = model.amplitudes.vectors.shape
    moments = weights[..., None, None] * posterior.second_moments  # (N, S, K, K)
    products = moments.new_zeros((latents + 1) ** 2)
    places = posterior.active[..., :, None] * (latents + 1) + posterior.active[..., None, :]
    products.index_add_(0, places.flatten(), moments.flatten())
    means = weights[..., None] * posterior.means  # (N, S, K)
    seen = patches.project(posterior.vectors, free_mean=model.free_patch_mean)
    completed = means[..., None] * residuals[..., None, :] + moments @ (posterior.vectors - seen)
    cross = moments.new_zeros(latents + 1, values)
    cross.index_add_(0, posterior.active.flatten(), completed.flatten(0, 2))
    sums = AmplitudeSums(
        (weights[..., None] * bits).sum((0, 1)),
        products.reshape(latents + 1, latents + 1)[:-1, :-1],
        cross[:-1],
    )
    return sums, errors


def _fast_sums(
    kernels: fast_path.Kernels, model: BinaryVAE, patches: Patches, states: StateSets
) -> tuple[AmplitudeSums, Tensor]:
    assert model.amplitudes is not None
    latents, products, amplitudes = fast_path.posterior_sums(kernels, model, patches, states)
    values = (patches.centred if model.free_patch_mean else patches).values
    vectors = model.amplitudes.vectors
    cross = amplitudes.T @ values
    explained = 2 * (cross * vectors).sum() - (products * (vectors @ vectors.T)).sum()
    return AmplitudeSums(latents, products, cross), (values.square().sum() - explained).clamp(min=0)
