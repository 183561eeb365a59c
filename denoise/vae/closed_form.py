"""M-step of `AmplitudeVAE`: W in closed form, from sums over patches (ES3C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from denoise.kernels.amplitude import Sums
from denoise.patches import Patches
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.batch_sums import BatchSums
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
    cross : (H, D) float, <a r^T>, r a patch without its mean; what the data do not see
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


class ClosedFormLearner:
    """Solves for W after every batch; sums of earlier batches fade away.

    Parameters
    ----------
    memory : patches after which about a third of a batch's sums is left
    """

    shuffles: ClassVar[bool] = False  # patches are drawn at random beforehand

    def __init__(self, model: AmplitudeVAE, *, memory: float) -> None:
        self._model = model
        self._memory = memory
        self._sums: AmplitudeSums | None = None

    def learn(self, patches: Patches, states: StateSets) -> BatchSums:
        """Update W."""
        new, squared_error = amplitude_sums(self._model, patches, states)
        keep = max(0.0, 1 - len(patches) / self._memory)
        sums = new if self._sums is None else self._sums.decayed(keep, new)

        vectors = solve_amplitudes(sums)
        factors = (
            (sums.products.diagonal() / sums.latents.clamp(min=1e-3)).clamp(*SLAB_BOUNDS).sqrt()
        )
        vectors = vectors * factors[:, None]
        if self._model.free_patch_mean:
            vectors = vectors - vectors.mean(1, keepdim=True)
        self._model.vectors = vectors
        self._sums = sums.rescaled(factors)
        return BatchSums.of(new.latents, squared_error, states.elbo().sum())


def solve_amplitudes(sums: AmplitudeSums) -> Tensor:
    """W that maximises the expected log joint, up to the ridge: (H, D)."""
    ridge = RIDGE * torch.eye(len(sums.products), device=sums.products.device)
    # Without waiting for a GPU's check: the check of the ELBO reports a failure.
    factor, failed = torch.linalg.cholesky_ex(sums.products + ridge)
    vectors = torch.cholesky_solve(sums.cross, factor)
    return torch.where(failed == 0, vectors, torch.nan)


@torch.no_grad()
def amplitude_sums(
    model: AmplitudeVAE, patches: Patches, states: StateSets
) -> tuple[AmplitudeSums, Tensor]:
    """Sums over a batch, and its posterior mean of the squared error, ()."""
    compiled = model.compiled_sums(patches, states)
    if compiled is not None:
        return _completed(model, patches, compiled)
    weights, bits = states.posterior_weights(), states.bits
    residuals = model.residuals(patches)
    posterior = model.amplitude_posterior(patches, bits)
    errors = (weights * model.expected_squared_errors(patches, posterior)).sum()

    latents, values = model.vectors.shape
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


def _completed(model: AmplitudeVAE, patches: Patches, sums: Sums) -> tuple[AmplitudeSums, Tensor]:
    """The same from sums of compiled loops."""
    values, vectors = model.residuals(patches)[:, 0], model.vectors
    cross = sums.amplitudes.T @ values
    explained = 2 * (cross * vectors).sum()
    if sums.completion is None:
        size = (sums.products * (vectors @ vectors.T)).sum()
    else:
        size = sums.size * model.noise_variance
        cross = cross + sums.completion * model.noise_variance.sqrt()
    error = (values.square().sum() - explained + size).clamp(min=0)
    return AmplitudeSums(sums.latents, sums.products, cross), error
