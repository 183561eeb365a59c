"""VAE with binary latents whose encoder and decoder are two players of equal rank.

Flach, Schlesinger, Shekhovtsov: Symmetric Equilibrium Learning of VAEs. AISTATS 2024, arXiv
2307.09883. Decoder: raise log p(x, z) on x of the data, z ~ q(z | x). Encoder: raise
log q(z | x) on z ~ p(z), x ~ p(x | z), noise included. Neither gradient passes through a draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from denoise.methods.vaes.bit_vae import BitOptions, BitVAE
from denoise.methods.vaes.interface import VAETraining
from denoise.methods.vaes.networks import draw_bits, gaussian_cost, normal
from denoise.options import require

# Values of the Gaussian whose random projections are the implicit prior.
PROJECTED = 16


@dataclass(frozen=True, kw_only=True)
class NashOptions(BitOptions):
    """Settings of a VAE whose encoder and decoder are two players.

    Attributes
    ----------
    prior_prob : initial prior probability of each latent
    learn_prior : let the decoder's player learn the prior too
    implicit_prior : the encoder's player draws z as the signs of H random projections of a
        Gaussian, a prior whose probabilities nobody can sum, so that no ELBO could use it; else
        from the Bernoulli prior
    """

    latents: int = 64
    hidden: tuple[int, ...] = (256, 256)
    prior_prob: float = 0.5
    learn_prior: bool = True
    implicit_prior: bool = False
    training: VAETraining = field(default=VAETraining(learning_rate=1e-2))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.prior_prob < 1, f"prior_prob must lie in (0, 1), got {self.prior_prob}")

    def build(self, values: int, generator: torch.Generator) -> NashVAE:
        """An untrained model."""
        return NashVAE(values, self, generator)


class NashVAE(BitVAE):
    """Learned by two players; the prior is the decoder's."""

    options: NashOptions
    projections: Tensor

    def __init__(self, values: int, options: NashOptions, generator: torch.Generator) -> None:
        super().__init__(values, options, options.prior_prob, generator)
        self.prior_logits.requires_grad_(options.learn_prior)
        shape = (PROJECTED if options.implicit_prior else 0, options.latents)
        self.register_buffer("projections", torch.randn(shape, generator=generator))

    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """Sum of both players' losses in nats; they share no parameter, nor a gradient."""
        return self.decoder_loss(patches, generator) + self.encoder_loss(patches, generator)

    def decoder_loss(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        """-log p(x, z) for z drawn by the encoder, without its constant."""
        with torch.no_grad():
            latents = draw_bits(self.encoder(patches), generator)
        return gaussian_cost(patches, self.decoder(latents)).mean() + _bit_cost(
            self.prior_logits.expand_as(latents), latents
        )

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        """z from the prior that the encoder's player learns from: (count, H) 0 or 1."""
        if not self.options.implicit_prior:
            return draw_bits(self.prior_logits.expand(count, -1), generator)
        shape = torch.Size((count, len(self.projections)))
        return (normal(shape, self.projections, generator) @ self.projections > 0).float()

    def encoder_loss(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        """-log q(z | x) for as many pairs as there are patches, drawn by prior and decoder."""
        with torch.no_grad():
            latents = self.draw_latents(len(patches), generator)
            means = self.decoder(latents)
            drawn = means + normal(means.shape, means, generator)
        return _bit_cost(self.encoder(drawn), latents)


def _bit_cost(logits: Tensor, bits: Tensor) -> Tensor:
    """-log probability of bits (N, H), the mean over N."""
    return binary_cross_entropy_with_logits(logits, bits, reduction="none").sum(1).mean()
