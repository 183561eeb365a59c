"""What every peer is: a model of patches in units of sigma, and what training tells of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# One number of interest by name, such as {"perplexity": 12.3}.
Diagnostics = dict[str, float]


class PeerModel(nn.Module, ABC):
    """A model of patches x whose noise is white with variance 1.

    All randomness comes from the generators that are passed, which lie on the CPU.
    """

    @abstractmethod
    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """What a gradient step lowers, as a mean over patches.

        Parameters
        ----------
        patches : (N, D) float, a batch
        progress : share of the training that is over, in [0, 1)
        """

    @abstractmethod
    def reconstruct(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the decoder's output under the encoder's distribution: (N, D) -> (N, D)."""

    @abstractmethod
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """How the latents of `patches` (N, D) are used."""


@dataclass(frozen=True)
class PeerStats:
    """What the training of a peer reports.

    Attributes
    ----------
    losses : mean of each epoch
    diagnostics : of the trained model, on its training patches
    """

    losses: tuple[float, ...]
    diagnostics: Diagnostics
