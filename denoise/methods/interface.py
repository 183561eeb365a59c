"""What every other VAE is: settings, a model of patches in units of sigma, training, a report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from denoise.options import require, require_choice, require_positive

# One number of interest by name, such as {"perplexity": 12.3}.
Diagnostics = dict[str, float]
Inference = Literal["posterior", "encoder"]


@dataclass(frozen=True)
class VAETraining:
    """Budget of a VAE: Adam, one cycle of the learning rate.

    Attributes
    ----------
    epochs : passes over the training patches
    patch_budget : train on at most this many patches, drawn at random
    batch_size : patches per gradient step
    learning_rate : highest rate of the cycle
    """

    epochs: int = 20
    patch_budget: int = 65_536
    batch_size: int = 512
    learning_rate: float = 2e-2

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "patch_budget", "batch_size", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class VAEOptions(ABC):
    """Settings that every VAE has.

    Attributes
    ----------
    hidden : widths of the hidden layers of the encoder; the decoder has them in reverse
    inference : what rebuilds the patches: "posterior" is a truncated posterior over latent states
        that search finds, "encoder" is one pass of the encoder
    """

    hidden: tuple[int, ...] = (256,)
    training: VAETraining = VAETraining()
    inference: Inference = "posterior"

    def __post_init__(self) -> None:
        require_choice("inference", self.inference, Inference)
        require(all(width >= 1 for width in self.hidden), f"hidden widths are {self.hidden}")

    @abstractmethod
    def build(self, values: int, generator: torch.Generator) -> PatchVAE:
        """An untrained model of patches (N, D) with D = `values`."""


@dataclass(frozen=True)
class Samples:
    """Patches drawn from a model's prior.

    Attributes
    ----------
    patches : (n, D) float, means of the decoder, without noise
    groups : (n,) int64, what they are sorted by: the component of a mixture, the code of a slot;
        None if the model has nothing of that kind
    """

    patches: Tensor
    groups: Tensor | None


class PatchVAE(nn.Module, ABC):
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

    def finish(self, patches: Tensor, *, generator: torch.Generator) -> None:
        """Learn what is learned after the gradient steps, such as a prior over codes.

        Parameters
        ----------
        patches : (N, D) float, all training patches
        """

    @abstractmethod
    def encoder_mean(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the decoder's output under the encoder's distribution: (N, D) -> (N, D)."""

    @abstractmethod
    def posterior_mean(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the decoder's output under a truncated posterior: (N, D) -> (N, D).

        p(z | x) ~ p(x | z) p(z) over a set of states for each patch, which the encoder proposes and
        search improves.
        """

    @abstractmethod
    def sample(self, count: int, *, generator: torch.Generator) -> Samples:
        """Draw `count` states from the prior and decode them."""

    @abstractmethod
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """How the latents of `patches` (N, D) are used."""


@dataclass(frozen=True)
class TrainingStats:
    """What the training of a VAE reports.

    Attributes
    ----------
    losses : mean of each epoch
    diagnostics : of the trained model, on its training patches
    """

    losses: tuple[float, ...]
    diagnostics: Diagnostics
