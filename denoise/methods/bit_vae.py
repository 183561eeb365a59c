"""What VAEs with binary latents and an encoder share; they differ in how they learn."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from denoise.methods.interface import Diagnostics, PatchVAE, VAEOptions
from denoise.methods.networks import (
    bernoulli_divergence,
    draw_bits,
    encoder_and_decoder,
    gaussian_cost,
    logit,
    perplexity,
)
from denoise.options import require_positive


@dataclass(frozen=True, kw_only=True)
class BitOptions(VAEOptions, ABC):
    """Settings of both.

    Attributes
    ----------
    latents : number H of binary latents
    samples : draws of z over which the decoder's mean is averaged
    """

    latents: int
    samples: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "latents", "samples")


class BitVAE(PatchVAE):
    """H binary latents, factorised encoder, Bernoulli prior with learned probabilities.

    Attributes
    ----------
    prior_logits : (H,)
    """

    def __init__(
        self, values: int, options: BitOptions, prior_prob: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.samples = options.samples
        self.encoder, self.decoder = encoder_and_decoder(
            values, options.latents, options.latents, options.hidden, generator
        )
        self.prior_logits = nn.Parameter(torch.full((options.latents,), logit(prior_prob)))

    @torch.no_grad()
    def encoder_mean(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the decoder's output over binary draws."""
        logits = self.encoder(patches)
        total = torch.zeros_like(patches)
        for _ in range(self.samples):
            total += self.decoder(draw_bits(logits, generator))
        return total / self.samples

    @torch.no_grad()
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """How the latents are used, and the negative ELBO with binary draws, not relaxed ones.

        The ELBO is in nats per patch, without the constant of the likelihood. A latent counts as
        used by the mutual information of its bit and the patch: above 0.05 nats.
        """
        logits = self.encoder(patches)
        probabilities = logits.sigmoid()
        divergence = bernoulli_divergence(logits, self.prior_logits).mean()
        cost = gaussian_cost(patches, self.decoder(draw_bits(logits, generator))).mean()
        mean = probabilities.mean(0)
        marginal = perplexity(torch.stack([mean, 1 - mean], -1)).log()
        conditional = perplexity(torch.stack([probabilities, 1 - probabilities], -1)).log().mean(0)
        return {
            "latents used": float((marginal - conditional > 0.05).sum()),
            "latents on": float(mean.sum()),
            "KL": float(divergence),
            "-ELBO": float(cost + divergence),
        }
