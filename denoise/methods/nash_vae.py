"""VAE with binary latents whose encoder and decoder are two players of equal rank.

Flach, Schlesinger, Shekhovtsov: Symmetric Equilibrium Learning of VAEs. AISTATS 2024, arXiv
2307.09883. Decoder: raise log p(x, z) on x of the data, z ~ q(z | x). Encoder: raise
log q(z | x) on z ~ p(z), x ~ p(x | z), noise included. Neither gradient passes through a draw.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from denoise.methods.gumbel_vae import binary_diagnostics, mean_over_draws
from denoise.methods.interface import Diagnostics, PeerModel
from denoise.methods.networks import draw_bits, encoder_and_decoder, gaussian_cost, logit, normal
from denoise.methods.options import NashOptions


class NashVAE(PeerModel):
    """H binary latents, factorised encoder, Bernoulli prior, learned by the decoder's player.

    Attributes
    ----------
    prior_logits : (H,)
    """

    def __init__(self, values: int, options: NashOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.options = options
        self.encoder, self.decoder = encoder_and_decoder(
            values, options.latents, options.latents, options.hidden, generator
        )
        start = torch.full((options.latents,), logit(options.prior_prob))
        self.prior_logits = nn.Parameter(start, requires_grad=options.learn_prior)

    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """Sum of both players' losses in nats; they share no parameter, nor a gradient."""
        return self.decoder_loss(patches, generator) + self.encoder_loss(len(patches), generator)

    def decoder_loss(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        """-log p(x, z) for z drawn by the encoder, without its constant."""
        with torch.no_grad():
            latents = draw_bits(self.encoder(patches), generator)
        return gaussian_cost(patches, self.decoder(latents)).mean() + _bit_cost(
            self.prior_logits.expand_as(latents), latents
        )

    def encoder_loss(self, count: int, generator: torch.Generator) -> Tensor:
        """-log q(z | x) for `count` pairs that the prior and the decoder draw."""
        with torch.no_grad():
            latents = draw_bits(self.prior_logits.expand(count, -1), generator)
            means = self.decoder(latents)
            patches = means + normal(means.shape, means, generator)
        return _bit_cost(self.encoder(patches), latents)

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


def _bit_cost(logits: Tensor, bits: Tensor) -> Tensor:
    """-log probability of bits (N, H), the mean over N."""
    return binary_cross_entropy_with_logits(logits, bits, reduction="none").sum(1).mean()
