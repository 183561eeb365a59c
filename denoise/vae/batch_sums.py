"""Sums over a batch of patches, from which prior and noise variance follow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.vae.model import BinaryVAE


@dataclass(frozen=True)
class BatchSums:
    """Posterior expectations summed over patches; they stay on the device.

    Attributes
    ----------
    values : (H + 2,) float, `latents`, `squared_error` and `elbo`
    """

    values: Tensor

    @classmethod
    def zero(cls, model: BinaryVAE) -> BatchSums:
        """Sums over no patches."""
        return cls(model.prior_probs.new_zeros(len(model.prior_probs) + 2))

    @classmethod
    def of(cls, latents: Tensor, squared_error: Tensor, elbo: Tensor) -> BatchSums:
        """From vector (H,) and scalars ()."""
        return cls(torch.cat([latents, squared_error[None], elbo[None]]))

    @property
    def latents(self) -> Tensor:
        """<z>: (H,)."""
        return self.values[:-2]

    @property
    def squared_error(self) -> Tensor:
        """Distance between patches and their noise-free versions: ()."""
        return self.values[-2]

    @property
    def elbo(self) -> Tensor:
        """In nats: ()."""
        return self.values[-1]

    def add_(self, other: BatchSums) -> None:
        """Add the sums over other patches, in place."""
        self.values.add_(other.values)
