"""The decoder of the published model: from latents to the mean of a patch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class MLPDecoder(nn.Module):
    """Multi-layer perceptron from H latents to D patch values, with a linear output.

    Parameters
    ----------
    sizes : (H, widths of the hidden layers..., D)
    leak : slope of the activation below zero; 0 is a ReLU
    generator : source of the Xavier-normal weights; biases start at zero
    """

    def __init__(self, sizes: tuple[int, ...], *, leak: float, generator: torch.Generator) -> None:
        super().__init__()
        self.sizes = sizes
        self.leak = leak
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            linear = nn.Linear(inputs, outputs)
            nn.init.xavier_normal_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.LeakyReLU(leak)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, latents: Tensor) -> Tensor:
        """Means of the patches: (..., H) float -> (..., D)."""
        means: Tensor = self.layers(latents)
        return means
