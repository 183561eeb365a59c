"""VAE with relaxed binary latents, trained by the ELBO through an encoder.

Binary concrete relaxation: Maddison, Mnih, Teh 2017 (arXiv 1611.00712, appendix B) and Jang,
Gu, Poole 2017 (arXiv 1611.01144). As in the latter, the KL term is that of the Bernoulli
distributions, not of their relaxations, so the objective is no strict bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.methods.vaes.bit_vae import BitOptions, BitVAE
from denoise.methods.vaes.networks import bernoulli_divergence, gaussian_cost, uniform
from denoise.options import require


@dataclass(frozen=True, kw_only=True)
class GumbelOptions(BitOptions):
    """Settings of a VAE with relaxed binary latents.

    Attributes
    ----------
    temperature : (first, last) temperature of the relaxation, falling exponentially
    expected_active : initial sum of the prior probabilities
    warm_up : share of the training over which the weight of the KL term rises from 0 to 1
    """

    latents: int = 128
    temperature: tuple[float, float] = (1.0, 0.5)
    expected_active: float = 32.0
    warm_up: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        first, last = self.temperature
        require(0 < last <= first, f"temperatures must fall and stay above 0, got {first, last}")
        require(
            0 < self.expected_active < self.latents,
            f"expected_active must lie between 0 and latents, got {self.expected_active}",
        )
        require(0 <= self.warm_up <= 1, f"warm_up is a share, from 0 to 1, got {self.warm_up}")

    def build(self, values: int, generator: torch.Generator) -> GumbelVAE:
        """An untrained model."""
        return GumbelVAE(values, self, generator)


def binary_concrete(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Draws in (0, 1) with a gradient: sigmoid((logits + logistic noise) / temperature).

    Above a half with the probability sigmoid(logits), whatever the temperature; at 0 they are
    Bernoulli draws.
    """
    drawn = uniform(logits.shape, logits, generator)
    return ((logits + drawn.log() - (-drawn).log1p()) / temperature).sigmoid()


class GumbelVAE(BitVAE):
    """Learned by gradients through relaxed draws."""

    options: GumbelOptions

    def __init__(self, values: int, options: GumbelOptions, generator: torch.Generator) -> None:
        super().__init__(values, options, options.expected_active / options.latents, generator)

    def temperature(self, progress: float) -> float:
        """The temperature, from the first to the last one as progress goes from 0 to 1."""
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
