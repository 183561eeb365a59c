"""M-step of the amplitude model: W in closed form, from sums over patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.halving import Halving
from denoise.patches import Patches
from denoise.vae import fast_path
from denoise.vae.batch_sums import BatchSums
from denoise.vae.gradient import GradientLearner
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import StateSets

# Slab variances are absorbed into W within these bounds.
SLAB_BOUNDS = (0.1, 10.0)
# Pulls unused amplitudes to zero, and keeps the system of equations solvable.
RIDGE = 0.5


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

    def prepare(self) -> None:
        """Set the learning rate of the mean."""
        if self._gradient is not None:
            self._gradient.prepare()

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
        return BatchSums.of(new.latents, squared_error, states.elbo().sum())


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
