"""Variational EM for a mixture of factor analysers: no step lowers the bound, but for rounding.

With the posterior means z of the factors, their covariance M^-1 and the residuals r = x - mu of
the patches of a component, weighted by its posterior probability q:

    [Lambda, mu - old mu] = <r [z, 1]^T> (<[z, 1] [z, 1]^T> + s diag(beta, 0))^-1
    s = mean squared error of a value that is left
    pi = mean of q

Ghahramani, Hinton, "The EM algorithm for mixtures of factor analyzers", 1996, with beta = 0. Where
loadings have a posterior (Ghahramani, Beal, NIPS 1999), each of their D rows is Gaussian around
that mean, with the covariance (<z z^T> / s + diag beta)^-1. Their prior is Normal(0, 1 / beta), and
there is a learned beta for each factor of each component: a factor that its patches do not support
vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.methods.mfa.component_search import TruncatedPosteriors, members
from denoise.methods.mfa.factor_analysers import FactorAnalysers
from denoise.methods.vaes.networks import normal

# A component that fewer patches have, by the sum of their probabilities, is put out of use.
LEAST_PATCHES = 1e-3
# Steps of subspace iteration, and the least variance along a direction at the start, in units of
# that of the noise: loadings of 0 would never grow.
SUBSPACE_STEPS, LEAST_VARIANCE = 3, 0.05
# Loadings of a smaller squared length, in units of the noise variance, count as vanished.
LEAST_LENGTH = 1e-6


@dataclass(frozen=True)
class Sums:
    """Sums over the patches of each component, weighted by their probabilities.

    Attributes
    ----------
    counts : (K,)
    latents : (K, H + 1, H + 1), of [z, 1] [z, 1]^T
    products : (K, D, H + 1), of r [z, 1]^T
    squares : (K,), of |r|^2
    """

    counts: Tensor
    latents: Tensor
    products: Tensor
    squares: Tensor


def collect(mixture: FactorAnalysers, patches: Tensor, posteriors: TruncatedPosteriors) -> Sums:
    """Sums of what a step of learning needs, over patches (N, D)."""
    count, values, factors = mixture.loadings.shape
    counts, squares = patches.new_zeros(count), patches.new_zeros(count)
    latents = patches.new_zeros(count, factors + 1, factors + 1)
    products = patches.new_zeros(count, values, factors + 1)
    weights = posteriors.probabilities.flatten()
    kept = posteriors.components.shape[1]
    for component, places in members(posteriors.components.flatten()):
        share = weights[places, None]
        rests = patches[places // kept] - mixture.means[component]
        extended = pad(mixture.latent_means(rests, component), (0, 1), value=1.0)
        weighted = share * extended
        counts[component] = share.sum()
        latents[component] = weighted.T @ extended
        products[component] = rests.T @ weighted
        squares[component] = (share * rests.square()).sum()
    latents[:, :-1, :-1] += counts[:, None, None] * mixture.latent_covariances
    return Sums(counts, latents, products, squares)


def learned(
    mixture: FactorAnalysers, sums: Sums, *, with_posterior: bool, learn_noise: bool
) -> FactorAnalysers:
    """The mixture after a step of learning.

    Parameters
    ----------
    with_posterior : whether loadings have a prior and a posterior
    learn_noise : whether the noise variance is learned
    """
    active = sums.counts > LEAST_PATCHES
    scale = sums.counts.clamp(min=LEAST_PATCHES)[:, None, None]
    latents, products = sums.latents / scale, sums.products / scale
    latents[~active] = torch.eye(latents.shape[1], dtype=latents.dtype, device=latents.device)
    ridge, spread = torch.zeros_like(mixture.spread), mixture.spread
    if with_posterior:
        noise, values = mixture.noise_variance, mixture.means.shape[1]
        ridge = torch.diag_embed(noise * prior_precisions(mixture)) / scale
        spread = values * noise * torch.linalg.inv(latents[:, :-1, :-1] + ridge) / scale
    regression = latents + pad(ridge, (0, 1, 0, 1))
    found = torch.linalg.solve(regression, products, left=False)
    weights = torch.where(active, sums.counts, 0.0)
    after = replace(
        mixture,
        log_weights=(weights / weights.sum()).log(),
        means=torch.where(active[:, None], mixture.means + found[..., -1], mixture.means),
        loadings=torch.where(active[:, None, None], found[..., :-1], mixture.loadings),
        spread=torch.where(active[:, None, None], spread, mixture.spread),
    )
    if not learn_noise:
        return after
    left = sums.squares + (found @ sums.latents * found - 2 * found * sums.products).sum((1, 2))
    left += (after.spread * sums.latents[:, :-1, :-1]).sum((1, 2))
    total = weights.double().sum() * mixture.means.shape[1]
    return replace(after, noise_variance=float(left[active].double().sum() / total))


def prior_precisions(mixture: FactorAnalysers) -> Tensor:
    """The likeliest precisions beta of the prior of the loadings: (K, H)."""
    lengths = _squared_lengths(mixture).clamp(min=LEAST_LENGTH * mixture.noise_variance)
    precisions: Tensor = mixture.means.shape[1] / lengths
    return precisions


def loadings_divergence(mixture: FactorAnalysers) -> Tensor:
    """KL divergence of the posterior of the loadings from the likeliest prior, in nats: (K,).

    The bound of all patches is the sum of theirs less the divergences of the components in use.
    """
    values, factors = mixture.loadings.shape[1:]
    precisions = prior_precisions(mixture)
    log_dets = torch.linalg.slogdet(mixture.spread / values).logabsdet
    entropies = values * (factors + log_dets + precisions.log().sum(1))
    divergences: Tensor = 0.5 * ((precisions * _squared_lengths(mixture)).sum(1) - entropies)
    return divergences


def _squared_lengths(mixture: FactorAnalysers) -> Tensor:
    """Expected squared lengths of the loadings of each factor: (K, H)."""
    return mixture.loadings.square().sum(1) + mixture.spread.diagonal(dim1=1, dim2=2)


def with_principal_directions(
    mixture: FactorAnalysers, patches: Tensor, components: Tensor, generator: torch.Generator
) -> FactorAnalysers:
    """The mixture with loadings along the directions in which the patches of a component vary most.

    They are the likeliest ones for these patches (Tipping, Bishop, 1999), up to what a few steps
    of subspace iteration leave.

    Parameters
    ----------
    patches : (N, D)
    components : (N,) int64, the component of each patch
    generator : on the CPU; draws the directions to start from
    """
    start = torch.linalg.qr(normal(mixture.loadings.shape[1:], mixture.means, generator)).Q
    noise = mixture.noise_variance
    loadings = start.expand(len(mixture), -1, -1) * (LEAST_VARIANCE * noise) ** 0.5
    for component, rows in members(components):
        rests = patches[rows] - mixture.means[component]
        basis = start
        for _ in range(SUBSPACE_STEPS):
            basis = torch.linalg.qr(rests.T @ (rests @ basis)).Q
        variances = (rests @ basis).square().mean(0) - noise
        loadings[component] = basis * variances.clamp(min=LEAST_VARIANCE * noise).sqrt()
    return replace(mixture, loadings=loadings)
