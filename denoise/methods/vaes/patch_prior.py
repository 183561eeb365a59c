"""Samples of another VAE's prior as patches of its image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from denoise.vae.prior import Samples


class Sampler(Protocol):
    """A model of patches in units of sigma."""

    def sample(self, count: int, *, generator: torch.Generator) -> Samples:
        """Draw `count` patches."""


@dataclass(frozen=True)
class ModelPrior:
    """A `PatchPrior` of a model that sees patches along some axes.

    Attributes
    ----------
    model : its patches have D' values, in units of sigma
    basis : (D, D'), orthonormal; with D' = D - 1 it leaves out the mean
    sigma : of the stabilised image
    patch_size : side of a patch, in pixels
    channels : of the image
    """

    model: Sampler
    basis: Tensor
    sigma: float
    patch_size: int
    channels: int

    def sample(self, count: int, *, seed: int) -> Samples:
        """As `PatchPrior.sample`."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        drawn = self.model.sample(count, generator=generator)
        return replace(drawn, patches=self.sigma * drawn.patches @ self.basis.T)
