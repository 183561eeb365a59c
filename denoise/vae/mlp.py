"""The MLP of the published model: from latents to the mean of a patch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """MLP from H latents to D patch values, with a linear output.

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
            # Stored column by column, as the Triton kernels read them; a CPU is no slower.
            linear.weight.data = linear.weight.data.T.contiguous().T
            layers += [linear, nn.LeakyReLU(leak)]
        self.layers = nn.Sequential(*layers[:-1])

    def after_flips(self, latents: Tensor, chosen: Tensor, signs: Tensor) -> Tensor:
        """Means after one bit of `latents` (..., H) has been flipped.

        Parameters
        ----------
        chosen, signs : (..., M), the bits, and 1 where they go on, -1 where off

        Returns
        -------
        (..., M, D) float
        """
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        level = first(latents)[..., None, :] + signs[..., None] * first.weight.T[chosen]
        means: Tensor = self.layers[1:](level)
        return means

    def forward(self, latents: Tensor) -> Tensor:
        """Means of the patches: (..., H) float -> (..., D)."""
        means: Tensor = self.layers(latents)
        return means
