"""What VAEs with binary latents and an encoder share; they differ in how they learn."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from denoise.methods.vaes import bit_posterior
from denoise.methods.vaes.interface import Diagnostics, PatchVAE, PosteriorOptions, VAEOptions
from denoise.methods.vaes.networks import (
    bernoulli_divergence,
    draw_bits,
    encoder_and_decoder,
    gaussian_cost,
    logit,
    perplexity,
)
from denoise.options import require_positive
from denoise.vae.prior import Samples
from denoise.vae.states import LatentStates

# A latent counts as used if its bit and the patch share more information, in nats.
LEAST_INFORMATION = 0.05
# Less likely states are left out of means, to save time.
LEAST_WEIGHT = 1e-4


@dataclass(frozen=True, kw_only=True)
class BitOptions(VAEOptions, ABC):
    """Settings that all VAEs with binary latents have.

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
        self.options = options
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

    def learn_posterior(
        self,
        patches: Tensor,
        posterior: PosteriorOptions,
        *,
        generator: torch.Generator,
        on_epoch: Callable[[], None],
    ) -> None:
        """Learn decoder and prior under the truncated posterior; the encoder stays as it is."""
        with torch.no_grad():
            logits = self.encoder(patches)
        model = bit_posterior.searched(self.decoder, self.prior_logits)
        bit_posterior.learn(
            model, patches, logits, posterior, generator=generator, on_epoch=on_epoch
        )
        self.prior_logits.data = model.prior_probs.logit()

    @torch.no_grad()
    def posterior_mean(
        self, patches: Tensor, posterior: PosteriorOptions, *, generator: torch.Generator
    ) -> Tensor:
        """Mean of the decoder's output under the truncated posterior."""
        model = bit_posterior.searched(self.decoder, self.prior_logits)
        states = self._states(patches, posterior, generator)
        return model.posterior_moments(
            bit_posterior.numbered(patches), states, least_weight=LEAST_WEIGHT
        )[0]

    def _states(
        self, patches: Tensor, posterior: PosteriorOptions, generator: torch.Generator
    ) -> LatentStates:
        model = bit_posterior.searched(self.decoder, self.prior_logits)
        return bit_posterior.find_states(
            model, patches, self.encoder(patches), posterior, generator
        )

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        """z from the prior: (count, H), 0 or 1."""
        return draw_bits(self.prior_logits.expand(count, -1), generator)

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator) -> Samples:
        """Draw bits from the prior and decode them."""
        bits = self.draw_latents(count, generator)
        return Samples(self.decoder(bits), None)

    @torch.no_grad()
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """How the latents are used, and the negative ELBO in nats per patch.

        The ELBO comes without the constant of the likelihood: that of the truncated posterior, or
        of the encoder with binary draws, not relaxed ones. A latent counts as used if the mutual
        information of its bit and the patch is above 0.05 nats.
        """
        posterior = self.options.posterior
        if posterior is not None:
            states = self._states(patches, posterior, generator)
            probabilities = (states.posterior_weights()[..., None] * states.bits).sum(1)
            constant = patches.shape[1] / 2 * math.log(2 * math.pi)
            return {
                **_usage(probabilities),
                "-ELBO": -float(states.elbo().mean()) - constant,
            }
        logits = self.encoder(patches)
        divergence = bernoulli_divergence(logits, self.prior_logits).mean()
        cost = gaussian_cost(patches, self.decoder(draw_bits(logits, generator))).mean()
        return {
            **_usage(logits.sigmoid()),
            "KL": float(divergence),
            "-ELBO": float(cost + divergence),
        }


def _usage(probabilities: Tensor) -> Diagnostics:
    """The use of latents that are on with these probabilities (N, H)."""
    mean = probabilities.mean(0)
    marginal = perplexity(torch.stack([mean, 1 - mean], -1)).log()
    conditional = perplexity(torch.stack([probabilities, 1 - probabilities], -1)).log().mean(0)
    return {
        "latents used": float((marginal - conditional > LEAST_INFORMATION).sum()),
        "latents on": float(mean.sum()),
    }
