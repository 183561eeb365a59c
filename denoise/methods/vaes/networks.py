"""Parts that several VAEs share: layers, binary draws and their divergence, perplexity."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from denoise.vae.mlp import MLP

# Slope of the activations below zero.
LEAK = 0.1


def encoder_and_decoder(
    values: int,
    code: int,
    latents: int,
    hidden: tuple[int, ...],
    generator: torch.Generator,
) -> tuple[MLP, MLP]:
    """Perceptrons from `values` to `code`, and from `latents` back through the same widths."""
    encoder = MLP((values, *hidden, code), leak=LEAK, generator=generator)
    decoder = MLP((latents, *hidden[::-1], values), leak=LEAK, generator=generator)
    return encoder, decoder


def uniform(shape: torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers in (0, 1), the same ones on every device."""
    drawn = torch.rand(shape, generator=generator).clamp_(1e-7, 1 - 1e-7)
    return drawn.to(like.device, like.dtype)


def normal(shape: torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal random numbers, the same ones on every device."""
    return torch.randn(shape, generator=generator).to(like.device, like.dtype)


def draw_bits(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Bernoulli draws, 0 or 1, without a gradient: the shape of `logits`."""
    return (uniform(logits.shape, logits, generator) < logits.sigmoid()).to(logits.dtype)


def gaussian_cost(patches: Tensor, means: Tensor) -> Tensor:
    """-log Normal(x; mean, I) without its constant, in nats: the last axis is summed."""
    return 0.5 * (patches - means).square().sum(-1)


def bernoulli_divergence(logits: Tensor, prior_logits: Tensor) -> Tensor:
    """KL divergence of independent bits from their prior, in nats: (N, H), (H,) -> (N,)."""
    on = logsigmoid(logits) - logsigmoid(prior_logits)
    off = logsigmoid(-logits) - logsigmoid(-prior_logits)
    probabilities = logits.sigmoid()
    return (probabilities * on + (1 - probabilities) * off).sum(-1)


def perplexity(frequencies: Tensor) -> Tensor:
    """exp of the entropy over the last axis: from 1 to the number of outcomes."""
    entropy: Tensor = torch.special.entr(frequencies).sum(-1)
    return entropy.exp()


def logit(probability: float) -> float:
    """Log odds of a probability."""
    return math.log(probability / (1 - probability))
