"""Settings of the peers: defaults and bounds. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from denoise.errors import OptionError
from denoise.options import require, require_choice

Codebook = Literal["ema", "loss"]
Objective = Literal["transport", "elbo"]


def require_positive(options: object, *names: str) -> None:
    """Raise an OptionError where a number is not finite and above zero."""
    for name in names:
        value = getattr(options, name)
        require(0 < value < math.inf, f"{name} must be positive, got {value}")


@dataclass(frozen=True)
class PeerTraining:
    """Budget of a peer: Adam, one cycle of the learning rate.

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
class VQOptions:
    """Vector-quantised VAE; see vq_vae.py.

    Attributes
    ----------
    slots : codes per patch; each slot has a codebook of its own
    codes : entries of a codebook
    code_size : values of an entry
    hidden : widths of the hidden layers of the encoder; the decoder has them in reverse
    commitment : beta, weight of the commitment loss
    codebook : "loss" learns it by gradient, "ema" as moving means of the encoder's outputs
    decay : of the moving means, which also tell dead codes
    least_usage : a code picked less often than this share of 1 / codes is dead and restarts
        from an output of the encoder
    """

    slots: int = 4
    codes: int = 64
    code_size: int = 8
    hidden: tuple[int, ...] = (256,)
    commitment: float = 0.25
    codebook: Codebook = "ema"
    decay: float = 0.99
    least_usage: float = 0.03
    training: PeerTraining = field(default_factory=PeerTraining)

    def __post_init__(self) -> None:
        require_positive(self, "slots", "code_size", "commitment")
        require(self.codes >= 2, f"codes must be at least 2, got {self.codes}")
        require(all(width >= 1 for width in self.hidden), f"hidden widths are {self.hidden}")
        require_choice("codebook", self.codebook, Codebook)
        require(0 < self.decay < 1, f"decay must lie between 0 and 1, got {self.decay}")
        require(
            0 <= self.least_usage < 1, f"least_usage must lie in [0, 1), got {self.least_usage}"
        )


@dataclass(frozen=True)
class GumbelOptions:
    """VAE with relaxed binary latents; see gumbel_vae.py.

    Attributes
    ----------
    latents : number H of binary latents
    hidden : widths of the hidden layers of the encoder; the decoder has them in reverse
    temperature : (first, last) temperature of the relaxation, falling exponentially
    expected_active : initial sum of the prior probabilities
    warm_up : share of the training over which the weight of the KL term rises from 0 to 1
    samples : draws of z over which the decoder's mean is averaged
    """

    latents: int = 128
    hidden: tuple[int, ...] = (256,)
    temperature: tuple[float, float] = (1.0, 0.5)
    expected_active: float = 32.0
    warm_up: float = 0.3
    samples: int = 8
    training: PeerTraining = field(default_factory=PeerTraining)

    def __post_init__(self) -> None:
        require_positive(self, "latents", "samples")
        require(all(width >= 1 for width in self.hidden), f"hidden widths are {self.hidden}")
        first, last = self.temperature
        require(0 < last <= first, f"temperatures must fall and stay above 0, got {first, last}")
        require(
            0 < self.expected_active < self.latents,
            f"expected_active must lie between 0 and latents, got {self.expected_active}",
        )
        require(0 <= self.warm_up <= 1, f"warm_up is a share, from 0 to 1, got {self.warm_up}")


@dataclass(frozen=True)
class MixtureOptions:
    """VAE with Gaussian-mixture latents; see gm_wae.py.

    Attributes
    ----------
    objective : "transport" is the Wasserstein auto-encoder, "elbo" the usual VAE
    components : number K of Gaussians in the prior
    latents : values of z; "transport" has no other bound on the noise that it copies, "elbo" can
        have some to spare
    hidden : widths of the hidden layers of the encoder; the decoder has them in reverse
    penalty : lambda, weight of the MMD ("transport" only)
    samples : draws of z per component over which the decoder's mean is averaged
    """

    objective: Objective = "transport"
    components: int = 10
    latents: int = 12
    hidden: tuple[int, ...] = (128,)
    penalty: float = 100.0
    samples: int = 4
    training: PeerTraining = field(default_factory=lambda: PeerTraining(epochs=12))

    def __post_init__(self) -> None:
        require_positive(self, "components", "latents", "penalty", "samples")
        require_choice("objective", self.objective, Objective)
        require(all(width >= 1 for width in self.hidden), f"hidden widths are {self.hidden}")


@dataclass(frozen=True)
class NashOptions:
    """Encoder and decoder as two players; see nash_vae.py.

    Attributes
    ----------
    latents : number H of binary latents
    hidden : widths of the hidden layers of the encoder; the decoder has them in reverse
    prior_prob : initial prior probability of each latent
    learn_prior : let the decoder's player learn the prior too
    samples : draws of z over which the decoder's mean is averaged
    """

    latents: int = 64
    hidden: tuple[int, ...] = (256, 256)
    prior_prob: float = 0.5
    learn_prior: bool = True
    samples: int = 8
    training: PeerTraining = field(default_factory=lambda: PeerTraining(learning_rate=1e-2))

    def __post_init__(self) -> None:
        require_positive(self, "latents", "samples")
        require(all(width >= 1 for width in self.hidden), f"hidden widths are {self.hidden}")
        require(0 < self.prior_prob < 1, f"prior_prob must lie in (0, 1), got {self.prior_prob}")


PeerOptions = VQOptions | GumbelOptions | MixtureOptions | NashOptions

# Default settings by name.
PEERS: dict[str, PeerOptions] = {
    "vq-vae": VQOptions(),
    "gumbel-vae": GumbelOptions(),
    "gm-vae": MixtureOptions(
        # At twice this rate some runs end with one component.
        "elbo",
        latents=24,
        training=PeerTraining(epochs=12, learning_rate=1e-2),
    ),
    "gm-wae": MixtureOptions(),
    "nash-vae": NashOptions(),
}


def peer_options(
    name: str, *, epochs: int | None = None, patch_budget: int | None = None
) -> PeerOptions:
    """Default settings of a peer, with another budget if given.

    Raises
    ------
    OptionError
        If there is no such peer, or a number is out of its bounds.
    """
    if name not in PEERS:
        raise OptionError(f"there is no peer {name!r}; choose one of {', '.join(PEERS)}")
    options = PEERS[name]
    training = replace(
        options.training,
        epochs=options.training.epochs if epochs is None else epochs,
        patch_budget=options.training.patch_budget if patch_budget is None else patch_budget,
    )
    return replace(options, training=training)
