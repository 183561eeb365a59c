"""A mixture of factor analysers: densities, posteriors and draws, in the space of the factors.

    p(c) = pi_c,  z ~ Normal(0, I),  x | c, z ~ Normal(mu_c + Lambda_c z, s I)

with one noise variance s: Ghahramani, Hinton, "The EM algorithm for mixtures of factor analyzers",
1996, with the noise of Tipping, Bishop, "Mixtures of probabilistic principal component analyzers",
1999. Loadings can have a posterior: Ghahramani, Beal, "Variational inference for Bayesian mixtures
of factor analysers", NIPS 1999. The D rows of Lambda_c are Gaussian then, with one covariance, and
a log joint below is a bound of it, from the best Gaussian posterior of the factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from denoise.methods.vaes.networks import normal


@dataclass(frozen=True)
class FactorAnalysers:
    """K components of D values, with H factors each.

    With M = I + (Lambda^T Lambda + spread) / s, Woodbury's identity gives the density of a patch
    from its distance to the mean, r = x - mu, and from H projections P = L^-1 Lambda^T / s, where L
    is the Cholesky factor of M:

        log N(x; mu, Lambda Lambda^T + s I) = (|P r|^2 - |r|^2 / s - log det M - D log 2 pi s) / 2

    Attributes
    ----------
    log_weights : (K,), log pi; -inf for a component that is out of use
    means : (K, D)
    loadings : (K, D, H), their means if they have a posterior
    spread : (K, H, H), D times the posterior covariance of a row of the loadings, or 0
    noise_variance : s
    """

    log_weights: Tensor
    means: Tensor
    loadings: Tensor
    spread: Tensor
    noise_variance: float = 1.0

    @classmethod
    def around(cls, means: Tensor, factors: int, noise_variance: float = 1.0) -> FactorAnalysers:
        """Components with equal weights and without loadings at `means` (K, D)."""
        count, values = means.shape
        return cls(
            log_weights=means.new_full((count,), -math.log(count)),
            means=means,
            loadings=means.new_zeros(count, values, factors),
            spread=means.new_zeros(count, factors, factors),
            noise_variance=noise_variance,
        )

    def __len__(self) -> int:
        return len(self.means)

    @cached_property
    def _cholesky(self) -> Tensor:
        """L: (K, H, H)."""
        eye = torch.eye(self.loadings.shape[2], dtype=self.means.dtype, device=self.means.device)
        squares = self.loadings.mT @ self.loadings + self.spread
        precisions = eye + squares / self.noise_variance
        factor: Tensor = torch.linalg.cholesky(precisions)
        return factor

    @cached_property
    def latent_covariances(self) -> Tensor:
        """Posterior covariances M^-1 of the factors, which no patch changes: (K, H, H)."""
        covariances: Tensor = torch.cholesky_inverse(self._cholesky)
        return covariances

    @cached_property
    def _projections(self) -> Tensor:
        """P: (K, H, D)."""
        solved: Tensor = torch.linalg.solve_triangular(
            self._cholesky, self.loadings.mT, upper=False
        )
        return solved / self.noise_variance

    @cached_property
    def _constants(self) -> Tensor:
        """What all log joints of a component have in common: (K,)."""
        log_dets = 2 * self._cholesky.diagonal(dim1=1, dim2=2).log().sum(1)
        scale = self.means.shape[1] * math.log(2 * math.pi * self.noise_variance)
        return self.log_weights - 0.5 * (log_dets + scale)

    def log_joints(self, patches: Tensor, near: int, others: Tensor) -> Tensor:
        """log p(x, c) of some patches and some components: (N, G).

        Parameters
        ----------
        patches : (N, D)
        near : number of a component that the patches are near to: rounding errors grow with the
            distances of patches and other components from it
        others : (G,) int64, the components
        """
        rests = patches - self.means[near]
        shifts = self.means[others] - self.means[near]
        bases = torch.cat([self._projections[others], shifts[:, None]], 1)  # (G, H + 1, D)
        products = (rests @ bases.flatten(0, 1).T).unflatten(1, bases.shape[:2])
        offsets = (bases[:, :-1] @ shifts[..., None])[..., 0]
        explained = (products[..., :-1] - offsets).square().sum(-1)
        lengths = rests.square().sum(1, keepdim=True)
        distances = lengths - 2 * products[..., -1] + shifts.square().sum(1)
        found: Tensor = explained - distances / self.noise_variance
        return 0.5 * found + self._constants[others]

    def latent_means(self, rests: Tensor, component: int) -> Tensor:
        """Posterior means of the factors, from patches less the component's mean: (N, H).

        Parameters
        ----------
        rests : (N, D)
        """
        gains = self.loadings[component] @ self.latent_covariances[component]
        means: Tensor = rests @ gains / self.noise_variance
        return means

    def clean_means(self, patches: Tensor, component: int) -> Tensor:
        """Posterior means mu_c + Lambda_c E[z | x, c] of patches without noise: (N, D)."""
        mean = self.means[component]
        return mean + self.latent_means(patches - mean, component) @ self.loadings[component].T

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws without noise: patches (count, D) and the numbers of their components (count,)."""
        weights = self.log_weights.exp().cpu()
        drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
        components = drawn.to(self.means.device)
        latents = normal(torch.Size((count, self.loadings.shape[2])), self.means, generator)
        patches = self.means[components]
        for component in components.unique().tolist():
            rows = components == component
            patches[rows] += latents[rows] @ self.loadings[component].T
        return patches, components
