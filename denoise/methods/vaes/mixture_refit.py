"""The prior of a mixture VAE, learned again when its decoder is ready: EM for factor analysers.

The decoder is made linear at the mean of each component. Its Jacobian J_k = Q R spans what the
component can explain, and there the best prior for given weights of the patches is known:

m_k <- m_k + R^-1 mean(Q^T (x - f(m_k)))
L_k <- R^-1 V max(lambda - 1, 0)^(1/2),   V lambda V^T = covariance of Q^T (x - f(m_k))

Eigenvalues near 1 are noise, and all below 1 + `NOISE_EDGE` count as such, or where a component has
n patches, those below (1 + sqrt(d / n))^2 (Marchenko, Pastur 1967). Tipping, Bishop 1999,
eq. 3.2 and appendix A (with sigma known); a density of the latents that is fitted afterwards:
Ghosh, Sajjadi, Vergari, Black, Schölkopf 2020, arXiv 1903.12436.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from denoise.methods.vaes.mixture_decoder import LinearPlusMLP
from denoise.methods.vaes.mixture_posterior import LinearisedMixture, MixturePrior

# Eigenvalues of pure noise have mean 1 and scatter as the patches are few.
NOISE_EDGE = 0.6
# Standard deviations of latents are at least this, so that factors can be inverted.
SMALLEST_SCALE = 1e-3
# Components with less than this share of their patches start again at a patch, in the first half
# of the rounds.
RARE = 0.1
# Weights of a patch up to this one count as 0.
SMALLEST_WEIGHT = 0.01
CHUNK_SIZE = 4096


@torch.no_grad()
def refit(
    decoder: LinearPlusMLP,
    prior: MixturePrior,
    patches: Tensor,
    *,
    rounds: int,
    generator: torch.Generator,
    on_round: Callable[[], None] = lambda: None,
) -> MixturePrior:
    """Raise log p of `patches` (N, D) by `rounds` of EM over the prior, from `prior` on.

    With a linear decoder, no round lowers it, but for the eigenvalues that count as noise and for
    components that start again. There must not be more latents than values.
    """
    for done in range(rounds):
        analysers = LinearisedMixture.of(decoder, prior)
        prior, counts = _round(decoder, prior, analysers, patches)
        rare = (counts < RARE * len(patches) / len(counts)).nonzero().flatten()
        if 2 * done < rounds:
            prior = _restarted(prior, analysers, patches, rare, generator)
        on_round()
    return prior


def _round(
    decoder: LinearPlusMLP, prior: MixturePrior, analysers: LinearisedMixture, patches: Tensor
) -> tuple[MixturePrior, Tensor]:
    """One step of EM, and the patches that each component has: (K,)."""
    bases, roots = torch.linalg.qr(decoder.with_jacobian(prior.means)[1].mT)  # (K, D, d), (K, d, d)
    counts = torch.zeros_like(prior.log_weights)
    sums = torch.zeros_like(prior.means)
    squares = torch.zeros_like(prior.factors)
    for chunk in patches.split(CHUNK_SIZE):
        weights = analysers.log_joint(chunk).softmax(1)
        weights = torch.where(weights > SMALLEST_WEIGHT, weights, 0.0)
        counts += weights.sum(0)
        for component, basis in enumerate(bases):
            rows = weights[:, component] > 0
            inside = (chunk[rows] - analysers.offsets[component]) @ basis
            weighted = inside * weights[rows, component, None]
            sums[component] += weighted.sum(0)
            squares[component] += weighted.T @ inside
    known = counts >= 1
    safe = counts.clamp(min=1)
    shifts = sums / safe[:, None]
    covariances = squares / safe[:, None, None] - shifts[:, :, None] * shifts[:, None, :]
    energies, directions = torch.linalg.eigh(covariances)
    # The largest eigenvalue of noise of variance 1, where its patches are few.
    edges = (1 + (energies.shape[1] / safe).sqrt()).square().clamp(min=1 + NOISE_EDGE)
    signal = torch.where(energies > edges[:, None], energies - 1, 0.0)
    scales = signal.sqrt().clamp(min=SMALLEST_SCALE)
    shifts = torch.linalg.solve_triangular(roots, shifts[..., None], upper=True)[..., 0]
    factors = torch.linalg.solve_triangular(roots, directions * scales[:, None], upper=True)
    fitted = MixturePrior(
        log_weights=safe.log().log_softmax(0),
        means=torch.where(known[:, None], prior.means + shifts, prior.means),
        factors=torch.where(known[:, None, None], factors, prior.factors),
    )
    return fitted, counts


def _restarted(
    prior: MixturePrior,
    analysers: LinearisedMixture,
    patches: Tensor,
    rare: Tensor,
    generator: torch.Generator,
) -> MixturePrior:
    """The prior whose components `rare` start again at random patches, with the factors there."""
    drawn = torch.randint(len(patches), (len(rare),), generator=generator).to(patches.device)
    nearest = analysers.log_joint(patches[drawn]).argmax(1)
    modes = analysers.modes(patches[drawn], nearest)
    means, factors, weights = (
        part.clone() for part in (prior.means, prior.factors, prior.log_weights)
    )
    means[rare] = prior.latents(modes, nearest)
    factors[rare] = prior.factors[nearest]
    weights[rare] = -math.log(len(weights))
    return replace(prior, means=means, factors=factors, log_weights=weights.log_softmax(0))
