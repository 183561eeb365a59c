"""A decoder that is linear but for an MLP on top, with its Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from denoise.methods.vaes.networks import LEAK
from denoise.vae.mlp import MLP

# The MLP's last layer starts at this share of its usual size, so that components are nearly
# Gaussian in the space of patches at first.
START = 0.1


class LinearPlusMLP(nn.Module):
    """f(z) = W z + MLP(z), from d latents to D values; piecewise linear.

    Parameters
    ----------
    latents : d
    hidden : widths of the MLP's hidden layers; without any, f is linear
    values : D
    """

    def __init__(
        self, latents: int, hidden: tuple[int, ...], values: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(latents, values)
        nn.init.xavier_normal_(self.linear.weight, generator=generator)
        nn.init.zeros_(self.linear.bias)
        sizes = (latents, *hidden, values)
        self.mlp = MLP(sizes, leak=LEAK, generator=generator) if hidden else None
        if self.mlp is not None:
            last = self.mlp.layers[-1]
            assert isinstance(last, nn.Linear)
            last.weight.data *= START

    def forward(self, latents: Tensor) -> Tensor:
        """Means of patches: (..., d) -> (..., D)."""
        means: Tensor = self.linear(latents)
        return means if self.mlp is None else means + self.mlp(latents)

    def with_jacobian(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """f(z) and the transpose of its Jacobian: (P, d) -> (P, D), (P, d, D).

        The Jacobian of an MLP with leaky ReLUs is the product of its weights and of the slopes, 1
        or the leak, of the units in between.
        """
        count, size = latents.shape
        means = self.linear(latents)
        slopes = self.linear.weight.T.expand(count, -1, -1)
        if self.mlp is None:
            return means, slopes
        units = latents
        jacobian = torch.eye(size, device=latents.device).expand(count, -1, -1)
        for layer in self.mlp.layers:
            if isinstance(layer, nn.Linear):
                units = layer(units)
                jacobian = jacobian @ layer.weight.T
            else:
                gain = torch.where(units > 0, 1.0, self.mlp.leak)
                units = units * gain
                jacobian = jacobian * gain[:, None]
        return means + units, slopes + jacobian
