"""Posterior of a VAE with Gaussian-mixture latents: a few components, a Gaussian in each.

Model: k ~ Categorical(pi), z = m_k + L_k u with u ~ Normal(0, I), x ~ Normal(f(z), I). Where f is
linear, each component is a factor analyser and all of this is exact. Elsewhere the posterior of u
is a Gaussian at the mode u*, with the covariance (I + A^T A)^-1, A = J L_k, J the Jacobian of f
there (Laplace's method):

log p(x, k) = log pi_k - |x - f(m_k + L_k u*)|^2 / 2 - |u*|^2 / 2 - log det(I + A^T A) / 2

without the constant (D/2) log 2 pi. Modes are found by damped Gauss-Newton steps.
Levenberg 1944, Marquardt 1963; factor analysers: Ghahramani, Hinton 1996, CRG-TR-96-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.methods.vaes.mixture_decoder import LinearPlusMLP
from denoise.methods.vaes.networks import gaussian_cost

# A step that does not lower the objective is tried again at this share of its length.
SHORTER = 0.25


@dataclass(frozen=True)
class MixturePrior:
    """Prior of the latents.

    Attributes
    ----------
    log_weights : (K,), log pi
    means : (K, d), m
    factors : (K, d, d), L; the covariance of component k is L_k L_k^T
    """

    log_weights: Tensor
    means: Tensor
    factors: Tensor

    def latents(self, whitened: Tensor, components: Tensor) -> Tensor:
        """m_k + L_k u: (P, d), (P,) -> (P, d)."""
        return self.means[components] + _by_component(self.factors, whitened, components)


@dataclass(frozen=True)
class LinearisedMixture:
    """The components, with the decoder made linear at their means: x = y_k + A_k u + noise.

    Attributes
    ----------
    log_weights : (K,), log pi
    offsets : (K, D), y_k = f(m_k)
    loadings : (K, d, D), A_k^T
    gains : (K, d, D), the posterior mean of u is gains (x - y_k)
    log_dets : (K,), log det(I + A_k^T A_k)
    """

    log_weights: Tensor
    offsets: Tensor
    loadings: Tensor
    gains: Tensor
    log_dets: Tensor

    @classmethod
    def of(cls, decoder: LinearPlusMLP, prior: MixturePrior) -> LinearisedMixture:
        """Linearise a decoder."""
        offsets, jacobians = decoder.with_jacobian(prior.means)
        loadings = prior.factors.mT @ jacobians
        root = _precision_root(loadings)
        gains = torch.cholesky_solve(loadings, root)
        return cls(prior.log_weights, offsets, loadings, gains, _log_det(root))

    def log_joint(self, patches: Tensor) -> Tensor:
        """log p(x, k) without its constant: (N, D) -> (N, K)."""
        parts = []
        for offset, loading, gain in zip(self.offsets, self.loadings, self.gains, strict=True):
            centred = patches - offset
            explained = ((centred @ loading.T) * (centred @ gain.T)).sum(1)
            parts.append(0.5 * (explained - centred.square().sum(1)))
        return torch.stack(parts, 1) - 0.5 * self.log_dets + self.log_weights

    def modes(self, patches: Tensor, components: Tensor) -> Tensor:
        """Posterior mean of u in one component each: (P, D), (P,) -> (P, d)."""
        return _by_component(self.gains, patches - self.offsets[components], components)


@dataclass(frozen=True)
class MixturePosterior:
    """T components of each of N patches.

    Attributes
    ----------
    components : (N, T) int64, likeliest first by the factor analysers
    log_joint : (N, T), log p(x, k) without its constant
    whitened : (N, T, d), modes of u
    means : (N, T, D), the decoder's output there
    """

    components: Tensor
    log_joint: Tensor
    whitened: Tensor
    means: Tensor

    def mean(self) -> Tensor:
        """Mean of the decoder's output: (N, D)."""
        return (self.log_joint.softmax(1)[..., None] * self.means).sum(1)

    def log_evidence(self) -> Tensor:
        """log p(x) of the T components without its constant: (N,)."""
        return self.log_joint.logsumexp(1)


def find_posterior(
    decoder: LinearPlusMLP,
    prior: MixturePrior,
    analysers: LinearisedMixture,
    patches: Tensor,
    proposals: Tensor | None = None,
    *,
    components: int,
    steps: int,
) -> MixturePosterior:
    """Posterior of each patch in the components that explain it best.

    Parameters
    ----------
    analysers : of this decoder and this prior
    patches : (N, D)
    proposals : (N, K, d) latents z to start from where they are likelier than the modes of the
        factor analysers, if there are any steps
    components : number T of components, K at most
    steps : Gauss-Newton steps; without any, the factor analysers decide, which is exact where
        the decoder is linear
    """
    best = analysers.log_joint(patches).topk(min(components, len(prior.means)), 1)
    chosen, index = best.indices, best.indices.flatten()
    size = *chosen.shape, -1
    data = patches.repeat_interleave(chosen.shape[1], 0)
    whitened = analysers.modes(data, index)
    if not steps:
        means = decoder(prior.latents(whitened, index))
        return MixturePosterior(chosen, best.values, whitened.view(size), means.view(size))

    def energy(whitened: Tensor) -> Tensor:
        """-log p(x, u | k) without its constant: (P, d) -> (P,)."""
        means: Tensor = decoder(prior.latents(whitened, index))
        return gaussian_cost(data, means) + 0.5 * whitened.square().sum(1)

    energies = energy(whitened)

    def improve(candidates: Tensor) -> None:
        nonlocal whitened, energies
        found = energy(candidates)
        better = found < energies
        whitened = torch.where(better[:, None], candidates, whitened)
        energies = torch.where(better, found, energies)

    if proposals is not None:
        places = chosen[..., None].expand(-1, -1, proposals.shape[2])
        centred = proposals.gather(1, places).flatten(0, 1) - prior.means[index]
        improve(_by_component(torch.linalg.inv(prior.factors), centred, index))
    for _ in range(steps):
        means, loadings, root = _local(decoder, prior, whitened, index)
        gradient = (loadings @ (data - means)[..., None])[..., 0] - whitened
        step = torch.cholesky_solve(gradient[..., None], root)[..., 0]
        start = whitened
        improve(start + step)
        improve(start + SHORTER * step)
    means, _, root = _local(decoder, prior, whitened, index)
    log_joint = prior.log_weights[index] - energies - 0.5 * _log_det(root)
    size = len(patches), chosen.shape[1], -1
    return MixturePosterior(chosen, log_joint.view(size[:2]), whitened.view(size), means.view(size))


def _local(
    decoder: LinearPlusMLP, prior: MixturePrior, whitened: Tensor, components: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """f, A^T and the Cholesky factor of I + A^T A at u: (P, D), (P, d, D), (P, d, d)."""
    means, jacobians = decoder.with_jacobian(prior.latents(whitened, components))
    loadings = torch.empty_like(jacobians)
    for component, factor in enumerate(prior.factors):
        rows = components == component
        loadings[rows] = factor.T @ jacobians[rows]
    return means, loadings, _precision_root(loadings)


def _precision_root(loadings: Tensor) -> Tensor:
    """Cholesky factor of I + A^T A: (..., d, D) -> (..., d, d)."""
    unit = torch.eye(loadings.shape[-2], dtype=loadings.dtype, device=loadings.device)
    root: Tensor = torch.linalg.cholesky(unit + loadings @ loadings.mT)
    return root


def _log_det(root: Tensor) -> Tensor:
    log_det: Tensor = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return log_det


def _by_component(matrices: Tensor, vectors: Tensor, components: Tensor) -> Tensor:
    """Each vector times the matrix of its component: (K, a, b), (P, b), (P,) -> (P, a)."""
    products = vectors.new_empty(len(vectors), matrices.shape[1])
    for component, matrix in enumerate(matrices):
        rows = components == component
        products[rows] = vectors[rows] @ matrix.T
    return products
