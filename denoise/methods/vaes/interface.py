"""What every other VAE is: settings, a model of patches in units of sigma, training, a report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from denoise.options import require, require_positive
from denoise.vae.prior import Samples

# One number of interest by name, such as {"perplexity": 12.3}.
Diagnostics = dict[str, float]


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


@dataclass(frozen=True)
class PosteriorOptions:
    """A truncated posterior: a set of latent states of each patch, which search improves.

    Attributes
    ----------
    states : number S of states kept per patch
    steps : of the search, from the states that the encoder proposes
    epochs : of learning the decoder and the prior under this posterior, after the training through
        the encoder; 0 leaves them as the encoder's training left them
    learning_rate : highest rate of these epochs
    """

    states: int = 8
    steps: int = 2
    epochs: int = 5
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        require_positive(self, "states", "steps", "learning_rate")
        require(self.epochs >= 0, f"epochs must be at least 0, got {self.epochs}")


@dataclass(frozen=True, kw_only=True)
class VAEOptions(ABC):
    """Settings that every VAE has.

    Attributes
    ----------
    hidden : widths of the hidden layers of the encoder; the decoder has them in reverse
    posterior : of the states that rebuild a patch; None stands for one pass of the encoder
    """

    hidden: tuple[int, ...] = (256,)
    training: VAETraining = VAETraining()
    posterior: PosteriorOptions | None = field(default=PosteriorOptions())

    def __post_init__(self) -> None:
        require(all(width >= 1 for width in self.hidden), f"hidden widths are {self.hidden}")

    @property
    def epochs(self) -> int:
        """All epochs, of the training through the encoder and under the posterior."""
        return self.training.epochs + (0 if self.posterior is None else self.posterior.epochs)

    @abstractmethod
    def build(self, values: int, generator: torch.Generator) -> PatchVAE:
        """An untrained model of patches (N, D) with D = `values`."""


class PatchVAE(nn.Module, ABC):
    """A model of patches x whose noise is white with variance 1.

    All randomness comes from the generators that are passed, which lie on the CPU.
    """

    options: VAEOptions

    @abstractmethod
    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """What a gradient step lowers, as a mean over patches.

        Parameters
        ----------
        patches : (N, D) float, a batch
        progress : share of the training that is over, in [0, 1)
        """

    @abstractmethod
    def learn_posterior(
        self,
        patches: Tensor,
        posterior: PosteriorOptions,
        *,
        generator: torch.Generator,
        on_epoch: Callable[[], None],
    ) -> None:
        """Learn what the truncated posterior needs beyond the training through the encoder.

        Parameters
        ----------
        patches : (N, D) float, all training patches
        on_epoch : called after each epoch
        """

    @abstractmethod
    def encoder_mean(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the decoder's output under the encoder's distribution: (N, D) -> (N, D)."""

    @abstractmethod
    def posterior_mean(
        self, patches: Tensor, posterior: PosteriorOptions, *, generator: torch.Generator
    ) -> Tensor:
        """Mean of the decoder's output under a truncated posterior: (N, D) -> (N, D).

        p(z | x) ~ p(x | z) p(z) over a set of states for each patch, which the encoder proposes and
        search improves.
        """

    @torch.no_grad()
    def reconstruct(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """The noise-free patches, as the options say: (N, D) -> (N, D)."""
        if self.options.posterior is None:
            return self.encoder_mean(patches, generator=generator)
        return self.posterior_mean(patches, self.options.posterior, generator=generator)

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
