"""VAE with relaxed binary latents, trained by the ELBO through an encoder.

Binary concrete relaxation: Maddison, Mnih, Teh 2017 (arXiv 1611.00712, appendix B) and Jang,
Gu, Poole 2017 (arXiv 1611.01144). As in the latter, the KL term is that of the Bernoulli
distributions, not of their relaxations, so the objective is no strict bound.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from denoise.methods.interface import Diagnostics, PeerModel
from denoise.methods.networks import (
    bernoulli_divergence,
    draw_bits,
    encoder_and_decoder,
    gaussian_cost,
    logit,
    perplexity,
    uniform,
)
from denoise.methods.options import GumbelOptions


def binary_concrete(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Draws in (0, 1) with a gradient: sigmoid((logits + logistic noise) / temperature).

    Above a half with the probability sigmoid(logits), whatever the temperature; at 0 they are
    Bernoulli draws.
    """
    drawn = uniform(logits.shape, logits, generator)
    return ((logits + drawn.log() - (-drawn).log1p()) / temperature).sigmoid()


class GumbelVAE(PeerModel):
    """H binary latents, factorised encoder, Bernoulli prior with learned probabilities.

    Attributes
    ----------
    prior_logits : (H,)
    """

    def __init__(self, values: int, options: GumbelOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.options = options
        self.encoder, self.decoder = encoder_and_decoder(
            values, options.latents, options.latents, options.hidden, generator
        )
        start = logit(options.expected_active / options.latents)
        self.prior_logits = nn.Parameter(torch.full((options.latents,), start))

    def temperature(self, progress: float) -> float:
        """From the first to the last one as progress goes from 0 to 1."""
        first, last = self.options.temperature
        return first * math.exp(progress * math.log(last / first))

    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """Negative ELBO in nats, the KL term with its weight of the moment."""
        logits = self.encoder(patches)
        latents = binary_concrete(logits, self.temperature(progress), generator)
        cost = gaussian_cost(patches, self.decoder(latents))
        weight = 1.0
        if self.options.warm_up > 0:
            weight = min(progress / self.options.warm_up, 1.0)
        return (cost + weight * bernoulli_divergence(logits, self.prior_logits)).mean()

    @torch.no_grad()
    def reconstruct(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the decoder's output over binary draws."""
        return mean_over_draws(self.encoder, self.decoder, patches, self.options.samples, generator)

    @torch.no_grad()
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """The bound of the binary model, latents in use and on."""
        return binary_diagnostics(
            self.encoder, self.decoder, self.prior_logits, patches, generator=generator
        )


def mean_over_draws(
    encoder: nn.Module,
    decoder: nn.Module,
    patches: Tensor,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Decoder's output averaged over `samples` binary draws from the encoder: (N, D)."""
    logits = encoder(patches)
    total = torch.zeros_like(patches)
    for _ in range(samples):
        total += decoder(draw_bits(logits, generator))
    return total / samples


def binary_diagnostics(
    encoder: nn.Module,
    decoder: nn.Module,
    prior_logits: Tensor,
    patches: Tensor,
    *,
    generator: torch.Generator,
) -> Diagnostics:
    """How binary latents are used, and the negative ELBO with binary draws, not relaxed ones.

    The ELBO is in nats per patch, without the constant of the likelihood. A latent counts as
    used by the mutual information of its bit and the patch: above 0.05 nats.
    """
    logits = encoder(patches)
    probabilities = logits.sigmoid()
    divergence = bernoulli_divergence(logits, prior_logits).mean()
    cost = gaussian_cost(patches, decoder(draw_bits(logits, generator))).mean()
    mean = probabilities.mean(0)
    marginal = perplexity(torch.stack([mean, 1 - mean], -1)).log()
    conditional = perplexity(torch.stack([probabilities, 1 - probabilities], -1)).log().mean(0)
    return {
        "latents used": float((marginal - conditional > 0.05).sum()),
        "latents on": float(mean.sum()),
        "KL": float(divergence),
        "-ELBO": float(cost + divergence),
    }
