"""VAE with Gaussian-mixture latents, trained by optimal transport or by the ELBO.

Prior: k uniform over K components, z | k ~ Normal(m_k, diag s_k^2), both learned. Encoder:
q(k | x) and one Gaussian q(z | x, k) for each k; expectations over k are exact sums, those over
z take one draw each. Objectives, both to be lowered, with c(x, y) = |x - y|^2 / 2:

transport  E_q c(x, f(z)) + lambda MMD^2(aggregated q(z), p(z))
elbo       E_q c(x, f(z)) + KL(q(k, z | x) || p(k, z))

Gaujac, Feige, Barber 2018, arXiv 1806.04465, after the Wasserstein auto-encoder of Tolstikhin,
Bousquet, Gelly, Schölkopf 2018, arXiv 1711.01558.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from denoise.methods.interface import Diagnostics, PatchVAE, VAEOptions, VAETraining
from denoise.methods.networks import encoder_and_decoder, gaussian_cost, normal, perplexity
from denoise.options import require_choice, require_positive

Objective = Literal["transport", "elbo"]
# Widths of the kernel's terms, as multiples of twice the number of latents.
KERNEL_SCALES = (0.2, 0.5, 1.0, 2.0, 5.0)
# Patches and prior draws that enter the MMD, which costs their square.
MMD_PATCHES = 64
# Log standard deviations of the encoder stay below this.
LARGEST_LOG_SCALE = 4.0


@dataclass(frozen=True, kw_only=True)
class MixtureOptions(VAEOptions):
    """Settings of a VAE with Gaussian-mixture latents.

    Attributes
    ----------
    objective : "transport" is the Wasserstein auto-encoder, "elbo" the usual VAE
    components : number K of Gaussians in the prior
    latents : values of z; "transport" has no other bound on the noise that it copies, "elbo" can
        have some to spare
    penalty : lambda, weight of the MMD ("transport" only)
    samples : draws of z per component over which the decoder's mean is averaged
    """

    objective: Objective = "transport"
    components: int = 10
    latents: int = 12
    hidden: tuple[int, ...] = (128,)
    penalty: float = 100.0
    samples: int = 4
    training: VAETraining = field(default=VAETraining(epochs=12))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "components", "latents", "penalty", "samples")
        require_choice("objective", self.objective, Objective)

    def build(self, values: int, generator: torch.Generator) -> MixtureVAE:
        """An untrained model."""
        return MixtureVAE(values, self, generator)


def kernel(first: Tensor, second: Tensor) -> Tensor:
    """Sum of inverse multiquadratics C / (C + |a - b|^2): (A, d), (B, d) -> (A, B)."""
    lengths = first.square().sum(1)[:, None] + second.square().sum(1)
    squares = (lengths - 2 * first @ second.T).clamp(min=0)
    total = torch.zeros_like(squares)
    for scale in KERNEL_SCALES:
        width = 2 * first.shape[1] * scale
        total = total + width / (width + squares)
    return total


def mmd(first: Tensor, second: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared maximum mean discrepancy of two samples (the biased estimate: never negative).

    Parameters
    ----------
    first : (A, d)
    second : (B, d)
    weights : (A,) of `first`, with the sum 1; equal if None
    """
    if weights is None:
        weights = first.new_full((len(first),), 1 / len(first))
    other = second.new_full((len(second),), 1 / len(second))
    return (
        weights @ kernel(first, first) @ weights
        + other @ kernel(second, second) @ other
        - 2 * weights @ kernel(first, second) @ other
    )


class MixtureVAE(PatchVAE):
    """K components, z with d values.

    Attributes
    ----------
    prior_means, prior_log_scales : (K, d)
    """

    options: MixtureOptions

    def __init__(self, values: int, options: MixtureOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.options = options
        count, size = options.components, options.latents
        self.encoder, self.decoder = encoder_and_decoder(
            values, count * (1 + 2 * size), size, options.hidden, generator
        )
        self.prior_means = nn.Parameter(torch.randn(count, size, generator=generator))
        self.prior_log_scales = nn.Parameter(torch.zeros(count, size))

    def encode(self, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log q(k | x): (N, K); mean and log scale of q(z | x, k): (N, K, d) each."""
        count, size = self.options.components, self.options.latents
        parts = self.encoder(patches).split([count, count * size, count * size], dim=1)
        log_weights = parts[0].log_softmax(1)
        means, log_scales = (part.unflatten(1, (count, size)) for part in parts[1:])
        return log_weights, means, log_scales.clamp(max=LARGEST_LOG_SCALE)

    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """The objective in nats per patch; the MMD is scaled by lambda only."""
        log_weights, means, log_scales = self.encode(patches)
        weights = log_weights.exp()
        latents = means + log_scales.exp() * normal(means.shape, means, generator)
        costs = gaussian_cost(patches[:, None], self.decoder(latents))  # (N, K)
        if self.options.objective == "elbo":
            divergence = self._divergence(log_weights, means, log_scales)
            return ((weights * costs).sum(1) + divergence).mean()
        return (weights * costs).sum(1).mean() + self.options.penalty * self._discrepancy(
            latents[:MMD_PATCHES], weights[:MMD_PATCHES], generator
        )

    @torch.no_grad()
    def encoder_mean(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean over k, exactly, and over draws of z given k."""
        log_weights, means, log_scales = self.encode(patches)
        total = torch.zeros_like(patches)
        for _ in range(self.options.samples):
            latents = means + log_scales.exp() * normal(means.shape, means, generator)
            total += (log_weights.exp()[..., None] * self.decoder(latents)).sum(1)
        return total / self.options.samples

    @torch.no_grad()
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """Components used (perplexity of the mean of q(k | x)) and per patch; latents in use.

        A latent counts as used where the encoder's variance is on the mean below half of the
        aggregated one.
        """
        log_weights, means, log_scales = self.encode(patches)
        weights = log_weights.exp()
        within = (weights[..., None] * (2 * log_scales).exp()).sum(1).mean(0)
        centre = (weights[..., None] * means).sum(1).mean(0)
        between = (weights[..., None] * (means - centre).square()).sum(1).mean(0)
        return {
            "components used": float(perplexity(weights.mean(0))),
            "components per patch": float(perplexity(weights).mean()),
            "latents used": float((within < between).sum()),
        }

    def _divergence(self, log_weights: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
        """KL(q(k, z | x) || p(k, z)): (N,)."""
        count = self.options.components
        distance = (means - self.prior_means).square() + (2 * log_scales).exp()
        given = (
            self.prior_log_scales
            - log_scales
            + 0.5 * distance * (-2 * self.prior_log_scales).exp()
            - 0.5
        ).sum(-1)
        return (log_weights.exp() * (log_weights + math.log(count) + given)).sum(1)

    def _discrepancy(self, latents: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        """Squared MMD between z ~ q, weighted by q(k | x), and as many draws from the prior."""
        draws = -(-len(latents) // self.options.components)
        shape = torch.Size((draws, *self.prior_means.shape))
        scales = self.prior_log_scales.exp()
        prior = self.prior_means + scales * normal(shape, latents, generator)
        return mmd(latents.flatten(0, 1), prior.flatten(0, 1), (weights / len(weights)).flatten())
