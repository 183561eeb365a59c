"""What all binary-latent VAEs of this library share: prior, likelihood, truncated posterior.

z_h ~ Bernoulli(pi_h),  x | z ~ Normal(m 1 + ..., sigma^2 I), where a model says what stands for
the dots: `MLPVAE` (the paper's) and `AmplitudeVAE`. With `free_patch_mean`, the brightness m of a
patch is unknown under a flat prior and integrated out; in the published model m is 0.

The papers are TVAE (Drefs, Guiraud, Panagiotou, Lücke 2022, arXiv 2011.13704) and ES3C (Drefs,
Guiraud, Lücke, JMLR 23(21), 2022).

=============  =================  ===============================================
papers         here               meaning
=============  =================  ===============================================
z, K_n         states, bits       binary latent states of a patch, (N, S, H)
pi_h           prior_probs        prior probability that latent h is on
mu(z; theta)   mlp                mean of the patch given its state (`MLPVAE`)
W, s           vectors            what a latent adds, with amplitude (`AmplitudeVAE`)
sigma^2        noise_variance     variance of the Gaussian likelihood
log p(x, z)    log_joints         log prior plus log likelihood
q_n(z)         posterior_weights  the joint normalised over K_n (states.py)
F              elbo               log of the sum of the joint over K_n (states.py)
=============  =================  ===============================================
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.vae.states import LatentStates, flip_bits
from denoise.vae.stored_states import StateSets

# A prior of exactly 0 or 1 would forbid a latent for ever.
PRIOR_BOUNDS = (1e-5, 1 - 1e-5)
# A constant image would drive the learned variance, and with it the ELBO, to infinity.
LEAST_NOISE_VARIANCE = 1e-6
# Less likely states are left out of the variance, to save time.
LEAST_WEIGHT_IN_VARIANCE = 1e-4


class BinaryVAE(ABC):
    """Bernoulli prior and isotropic Gaussian likelihood around a mean that a subclass gives.

    Attributes
    ----------
    prior_probs : (H,) float, pi
    noise_variance : () float, sigma^2 in the units of the patches
    free_patch_mean : whether m is free
    exact_flip_gains : whether `flip_gains` are differences of log joints, not proposals
    """

    exact_flip_gains: ClassVar[bool]

    def __init__(
        self, prior_probs: Tensor, noise_variance: Tensor, *, free_patch_mean: bool = False
    ) -> None:
        self.prior_probs = prior_probs
        self.noise_variance = noise_variance
        self.free_patch_mean = free_patch_mean

    @abstractmethod
    def log_joints(self, patches: Patches, bits: Tensor) -> Tensor:
        """log p(x_n, z) of states (N, S, H) bool, in nats: (N, S)."""

    @abstractmethod
    def flip_gains(self, patches: Patches, bits: Tensor) -> Tensor:
        """Rise of the log joint when a bit of the states (N, P, H) is flipped: (N, P, H), nats."""

    @abstractmethod
    def reconstructions(self, patches: Patches, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the noise-free patch given each of its states, missing pixels too.

        Parameters
        ----------
        bits : (N, S, H) bool

        Returns
        -------
        (N, S, D) float, (N, S, D) float
        """

    @abstractmethod
    def latent_effects(self) -> Tensor:
        """What one latent on its own adds to a patch: (H, D)."""

    @abstractmethod
    def start_states(self, patches: Patches, pool: Tensor, count: int) -> StateSets:
        """Sets of `count` states to start a search from; -inf marks empty places.

        Parameters
        ----------
        pool : (M, H) bool, the states that training patches use most
        """

    @abstractmethod
    def compiled_search(
        self,
        patches: Patches,
        sets: StateSets,
        options: SearchOptions,
        *,
        key: tuple[int, ...],
        steps: int,
    ) -> StateSets | None:
        """What `search.improve` does, by compiled loops; None if they do not cover the case."""

    @abstractmethod
    def draw_given(self, bits: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the noise-free patches of states (N, H) bool, without a free brightness: (N, D)."""

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw noise-free patches from the prior: (count, D), with the mean 0 if it is free.

        Parameters
        ----------
        generator : on the CPU
        """
        uniform = torch.rand(count, len(self.prior_probs), generator=generator)
        patches = self.draw_given(uniform.to(self.prior_probs) < self.prior_probs, generator)
        return patches - patches.mean(1, keepdim=True) if self.free_patch_mean else patches

    def flip_log_joints(self, patches: Patches, bits: Tensor, chosen: Tensor) -> Tensor:
        """log p(x_n, z) of children that differ from their parent in one bit.

        Parameters
        ----------
        bits : (N, P, H) bool, parents
        chosen : (N, P, M) int64, the bits that are flipped, one for each child

        Returns
        -------
        (N, P·M) float, nats
        """
        return self.log_joints(patches, flip_bits(bits, chosen))

    @abstractmethod
    def calibrate(self, bits: Tensor) -> None:
        """Measure on some states (M, H) what `flip_gains` need; nothing if they are exact."""

    def posterior_mean(self, patches: Patches, states: StateSets) -> Tensor:
        """Expected noise-free patches under the truncated posterior, missing pixels too: (N, D)."""
        return self.posterior_moments(patches, states)[0]

    def posterior_moments(
        self, patches: Patches, states: StateSets, *, least_weight: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of the noise-free patches under the truncated posterior: (N, D) each.

        States that weigh less than `least_weight`, at most 1 / S, are left out to save time.
        """
        weights = states.posterior_weights()
        weights = weights.where(weights >= least_weight, 0)
        weights = (weights / weights.sum(1, keepdim=True))[:, :, None]
        row, place = weights[..., 0].nonzero(as_tuple=True)
        likely = self.reconstructions(patches[row], states.bits[row, place][:, None])
        means, variances = (torch.zeros_like(weights * values[:1]) for values in likely)
        means[row, place], variances[row, place] = likely[0][:, 0], likely[1][:, 0]
        mean = (weights * means).sum(1)
        spread = (means - mean[:, None]).square()
        return mean, (weights * (variances + spread)).sum(1)

    def posterior_variance(self, patches: Patches, states: StateSets) -> Tensor:
        """Variance of the noise-free patches; states that weigh next to nothing are left out."""
        least = LEAST_WEIGHT_IN_VARIANCE
        return self.posterior_moments(patches, states, least_weight=least)[1]

    def scored(self, patches: Patches, sets: StateSets) -> LatentStates:
        """The same sets with log joints under the present parameters; empty places stay empty."""
        bits = sets.bits
        log_joints = self.log_joints(patches, bits)
        return LatentStates(bits, log_joints.masked_fill(sets.log_joints.isneginf(), -torch.inf))

    def log_joints_of(self, patches: Patches, log_odds: Tensor, squared: Tensor) -> Tensor:
        """Log prior plus log likelihood, from what depends on the state: (N, S).

        Parameters
        ----------
        log_odds : (N, S) float, sum of logit pi over the latents that are on
        squared : (N, S or 1) float, squared lengths of what the mean leaves of the patches
        """
        log_prior = log_odds + torch.log1p(-self.prior_probs).sum()
        log_noise = (2 * math.pi * self.noise_variance).log()
        log_normaliser = 0.5 * self.degrees_of_freedom(patches) * log_noise
        return log_prior - 0.5 * squared / self.noise_variance - log_normaliser[:, None]

    def degrees_of_freedom(self, patches: Patches) -> Tensor:
        """Number of values that carry noise after a free patch mean is fitted: (N,)."""
        counts = patches.observed_counts
        return (counts - 1).clamp(min=0) if self.free_patch_mean else counts

    def update_prior(self, expected_latents: Tensor) -> None:
        """pi_h = mean over patches of <z_h>_q, given as (H,)."""
        self.prior_probs = expected_latents.clamp(*PRIOR_BOUNDS)

    def update_noise_variance(self, residual_variance: Tensor) -> None:
        """sigma^2 = posterior-weighted squared error per degree of freedom, given as ()."""
        self.noise_variance = residual_variance.clamp(min=LEAST_NOISE_VARIANCE)
