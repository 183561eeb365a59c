"""Encoder of a mixture VAE: components of a patch, and a Gaussian of z in each of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from denoise.methods.vaes.networks import LEAK, normal
from denoise.vae.mlp import MLP

# Log standard deviations stay below this.
LARGEST_LOG_SCALE = 4.0


class Encoded(NamedTuple):
    """q(k, z | x): the T kept components of N patches.

    Attributes
    ----------
    components : (N, T) int64, likeliest first
    log_weights : (N, T), log q(k | x); their exponentials sum to 1
    means, log_scales : (N, T, d), of q(z | x, k)
    """

    components: Tensor
    log_weights: Tensor
    means: Tensor
    log_scales: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One z for each component: (N, T, d)."""
        return self.means + self.log_scales.exp() * normal(self.means.shape, self.means, generator)

    def frequencies(self, count: int) -> Tensor:
        """Mean of q(k | x) over the patches, for all `count` components: (K,)."""
        total = torch.zeros(count, device=self.means.device)
        total.index_add_(0, self.components.flatten(), self.log_weights.exp().flatten())
        return total / len(self.components)


class MixtureEncoder(nn.Module):
    """MLP from D values to q(k | x) and to K Gaussians of d values each.

    Parameters
    ----------
    values : D
    hidden : widths of its hidden layers
    components, latents : K, d
    kept : number T of the likeliest components; q is 0 at the others
    """

    def __init__(
        self,
        values: int,
        hidden: tuple[int, ...],
        components: int,
        latents: int,
        kept: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.sizes = [components, components * latents, components * latents]
        self.latents, self.kept = latents, min(kept, components)
        self.mlp = MLP((values, *hidden, sum(self.sizes)), leak=LEAK, generator=generator)

    def forward(self, patches: Tensor) -> Encoded:
        """The likeliest components of each patch: (N, D) -> (N, T)."""
        logits, means, log_scales = self.mlp(patches).split(self.sizes, dim=1)
        kept, components = logits.topk(self.kept, 1)
        places = components[..., None].expand(-1, -1, self.latents)
        return Encoded(
            components,
            kept.log_softmax(1),
            means.unflatten(1, (-1, self.latents)).gather(1, places),
            log_scales.unflatten(1, (-1, self.latents))
            .gather(1, places)
            .clamp(max=LARGEST_LOG_SCALE),
        )

    def means(self, patches: Tensor) -> Tensor:
        """Means of q(z | x, k) for all k: (N, D) -> (N, K, d)."""
        code: Tensor = self.mlp(patches)
        means: Tensor = code.split(self.sizes, dim=1)[1].unflatten(1, (-1, self.latents))
        return means
