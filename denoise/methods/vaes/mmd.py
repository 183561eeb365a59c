"""Maximum mean discrepancy of two samples, with inverse multiquadratic kernels.

Gretton et al., JMLR 13, 2012; the kernel: Tolstikhin et al. 2018, arXiv 1711.01558.
"""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.methods.vaes.networks import normal

# Widths of the kernel's terms, as multiples of twice the number of latents.
KERNEL_SCALES = (0.2, 0.5, 1.0, 2.0, 5.0)


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


def discrepancy(
    latents: Tensor, weights: Tensor, means: Tensor, scales: Tensor, generator: torch.Generator
) -> Tensor:
    """Squared MMD between weighted draws and about as many of an even mixture of Gaussians.

    Parameters
    ----------
    latents : (N, T, d), draws
    weights : (N, T), which add up to 1 over T
    means, scales : (K, d) of the components
    """
    shape = torch.Size((-(-weights.numel() // len(means)), *means.shape))
    prior = means + scales * normal(shape, latents, generator)
    return mmd(latents.flatten(0, 1), prior.flatten(0, 1), (weights / len(weights)).flatten())
