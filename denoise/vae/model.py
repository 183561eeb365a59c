"""The binary-latent VAE of Drefs, Guiraud, Panagiotou, Lücke (2022), arXiv 2011.13704.

=============  =================  ===============================================
paper          here               meaning
=============  =================  ===============================================
z, K_n         states             binary latent states of a patch, (N, S, H)
pi_h           prior_probs        prior probability that latent h is on
mu(z; theta)   decoder            mean of the patch given its state
sigma^2        noise_variance     variance of the Gaussian likelihood
log p(x, z)    log_joints         log prior plus log likelihood
q_n(z)         posterior_weights  the joint normalised over K_n (states.py)
F              elbo               log of the sum of the joint over K_n (states.py)
=============  =================  ===============================================
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from denoise.patches import Patches
from denoise.vae.amplitudes import AmplitudePosterior, GaussianAmplitudes
from denoise.vae.mlp import MLPDecoder

# A prior of exactly 0 or 1 would forbid a latent for ever.
PRIOR_BOUNDS = (1e-5, 1 - 1e-5)
# A constant image would drive the learned variance, and with it the ELBO, to infinity.
LEAST_NOISE_VARIANCE = 1e-6


class BinaryVAE:
    """Bernoulli prior, decoder, isotropic Gaussian likelihood.

    z_h ~ Bernoulli(pi_h),  x | z ~ Normal(m 1 + mu(z) + W_z^T a, sigma^2 I). In the
    published model m and W are 0. With `free_patch_mean`, the brightness m of the
    patch is unknown under a flat prior; with `amplitudes`, every active latent has
    a standard normal amplitude a_h; both are integrated out.

    Attributes
    ----------
    decoder : mu, or None where it is 0
    prior_probs : (H,) float, pi
    noise_variance : () float, sigma^2 in the units of the patches
    free_patch_mean : whether m is free
    amplitudes : W, or None where it is 0
    max_active : the search keeps states with at most so many latents on, where there is a W
    """

    def __init__(
        self,
        decoder: MLPDecoder | None,
        prior_probs: Tensor,
        noise_variance: Tensor,
        *,
        free_patch_mean: bool = False,
        amplitudes: GaussianAmplitudes | None = None,
        max_active: int = 8,
    ) -> None:
        self.decoder = decoder
        self.prior_probs = prior_probs
        self.noise_variance = noise_variance
        self.free_patch_mean = free_patch_mean
        self.amplitudes = amplitudes
        self.max_active = max_active
        self.flip_cost = torch.zeros_like(prior_probs)

    @property
    def exact_flip_gains(self) -> bool:
        """Whether `flip_gains` are differences of log joints, not estimates."""
        return self.decoder is None

    def log_joints(self, patches: Patches, states: Tensor) -> Tensor:
        """log p(x_n, z) of every state of every patch, in nats.

        Parameters
        ----------
        patches : N patches
        states : (N, S, H) bool

        Returns
        -------
        (N, S) float
        """
        residuals = self.residuals(patches, states)
        squared = residuals.square().sum(-1)
        log_odds = states.to(squared.dtype) @ self.prior_probs.logit()
        log_joints = self.log_joints_of(patches, log_odds, squared)
        posterior = self.amplitude_posterior(patches, states, residuals)
        return log_joints if posterior is None else log_joints + posterior.log_evidence

    def pool_log_joints(self, patches: Patches, pool: Tensor) -> Tensor:
        """log p(x_n, z) of the same states for all patches, through one matrix product.

        Rounding is coarser than in `log_joints`: for ranking, not for learning. Without W.

        Parameters
        ----------
        pool : (M, H) bool

        Returns
        -------
        (N, M) float
        """
        latents = pool.to(patches.values.dtype)
        means = self._means(patches, latents)
        if self.free_patch_mean:
            patches, means = patches.centred, means - means.mean(1, keepdim=True)
        values, mask = patches.values, patches.mask
        squared = (
            values.square().sum(1, keepdim=True) - 2 * values @ means.T + mask @ means.square().T
        )
        if self.free_patch_mean:
            total = values.sum(1, keepdim=True) - mask @ means.T
            squared = squared - total.square() / patches.observed_counts[:, None].clamp(min=1)
        return self.log_joints_of(patches, latents @ self.prior_probs.logit(), squared)

    def residuals(self, patches: Patches, states: Tensor) -> Tensor:
        """What the mean of each state leaves of each patch, as far as the data see it.

        A free patch mean is taken off; patches are centred beforehand, or float32
        would lose the difference.

        Returns
        -------
        (N, S, D) float; (N, 1, D) where the mean does not depend on the state
        """
        if self.decoder is None:
            centred = patches.centred if self.free_patch_mean else patches
            return centred.values[:, None]
        return self.residuals_of(patches, self._means(patches, states.to(patches.values.dtype)))

    def residuals_of(self, patches: Patches, means: Tensor) -> Tensor:
        """The same for given means (N, S, D)."""
        if not self.free_patch_mean:
            return patches.residuals(means)
        return patches.project(patches.centred.residuals(means), free_mean=True)

    def amplitude_posterior(
        self, patches: Patches, states: Tensor, residuals: Tensor
    ) -> AmplitudePosterior | None:
        """Posterior of the amplitudes of every state (N, S, H); None without W."""
        if self.amplitudes is None:
            return None
        return self.amplitudes.posterior(patches, states, residuals, self.noise_variance)

    def expected_squared_errors(
        self, residuals: Tensor, posterior: AmplitudePosterior | None
    ) -> Tensor:
        """Squared distance of each patch to its noise-free version under each state: (N, S).

        Parameters
        ----------
        residuals, posterior : of N patches and their states
        """
        squared = residuals.square().sum(-1)
        if posterior is None:
            return squared
        explained = (residuals[..., None, :] @ posterior.vectors.mT).squeeze(-2)
        explained = (explained * posterior.means).sum(-1)
        size = (posterior.gram * posterior.second_moments).sum((-2, -1)) * self.noise_variance
        return (squared - 2 * explained + size).clamp(min=0)

    def degrees_of_freedom(self, patches: Patches) -> Tensor:
        """Number of values that carry noise after a free patch mean is fitted: (N,)."""
        counts = patches.observed_counts
        return (counts - 1).clamp(min=0) if self.free_patch_mean else counts

    def _means(self, patches: Patches, latents: Tensor) -> Tensor:
        """mu(z) of latents (..., H): (..., D)."""
        if self.decoder is None:
            return latents.new_zeros(*latents.shape[:-1], patches.values.shape[1])
        means: Tensor = self.decoder(latents)
        return means

    def log_joints_of(self, patches: Patches, log_odds: Tensor, squared: Tensor) -> Tensor:
        """Log prior plus log likelihood, W aside: (N, S).

        Parameters
        ----------
        log_odds : (N, S) float, sum of logit pi over the latents that are on
        squared : (N, S or 1) float, squared lengths of the residuals
        """
        log_prior = log_odds + torch.log1p(-self.prior_probs).sum()
        log_normaliser = 0.5 * self.degrees_of_freedom(patches) * self._log_noise()
        return log_prior - 0.5 * squared / self.noise_variance - log_normaliser[:, None]

    def _log_noise(self) -> Tensor:
        return (2 * math.pi * self.noise_variance).log()

    def reconstructions(self, patches: Patches, states: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the noise-free patch given each of its states, missing pixels too.

        Parameters
        ----------
        states : (N, S, H) bool

        Returns
        -------
        (N, S, D) float, (N, S, D) float
        """
        means = self._means(patches, states.to(patches.values.dtype))
        variances = torch.zeros_like(means)
        posterior = self.amplitude_posterior(patches, states, self.residuals(patches, states))
        if posterior is not None:
            means = means + posterior.reconstructions
        counts = patches.observed_counts[:, None, None].clamp(min=1)
        if self.free_patch_mean:
            means = means + patches.residuals(means).sum(-1, keepdim=True) / counts
            variances = variances + self.noise_variance / counts
        if posterior is not None:
            vectors = posterior.vectors
            if self.free_patch_mean:
                seen = patches.masked(vectors).sum(-1, keepdim=True)
                vectors = vectors - seen / counts[..., None]
            variances = variances + (posterior.covariances @ vectors * vectors).sum(-2)
        return means, variances

    def flip_gains(self, patches: Patches, states: Tensor) -> Tensor:
        """Rise of the log joint when one bit is flipped, for every bit.

        Exact for a mean of 0, or a linear one without W; else the effect on the mean
        is taken to first order from the decoder's gradient, and to second order from
        the mean squared effect of that flip (`calibrate_flips`): a proposal.

        Parameters
        ----------
        states : (N, P, H) bool

        Returns
        -------
        (N, P, H) float, nats; -inf where more than `max_active` latents would be on
        """
        logit = self.prior_probs.logit()
        gains = torch.where(states, -logit, logit)
        residuals = self.residuals(patches, states)
        posterior = self.amplitude_posterior(patches, states, residuals)
        if self.amplitudes is not None and posterior is not None:
            gains = gains + self.amplitudes.flip_gains(
                patches, posterior, residuals, self.noise_variance
            )
            seen = patches.project(posterior.reconstructions, free_mean=self.free_patch_mean)
            residuals = residuals - seen
            full = states.sum(-1, keepdim=True) >= self.max_active
            gains = gains.masked_fill(full & ~states, -torch.inf)
        if self.decoder is not None:
            gains = gains + self._mean_flip_gains(patches, states, residuals)
        return gains

    def _mean_flip_gains(self, patches: Patches, states: Tensor, residuals: Tensor) -> Tensor:
        """Estimated rise of the log likelihood through the mean: (N, P, H)."""
        latents = states.to(patches.values.dtype)
        with torch.enable_grad():
            latents.requires_grad_(True)
            means = self._means(patches, latents)
            (slopes,) = torch.autograd.grad(means, latents, grad_outputs=residuals)
        slopes = slopes / self.noise_variance
        observed_share = patches.observed_counts[:, None, None] / patches.values.shape[1]
        cost = self.flip_cost / self.noise_variance * observed_share
        return torch.where(states, -slopes, slopes) - cost

    @torch.no_grad()
    def latent_effects(self) -> Tensor:
        """What one latent on its own adds to a patch: W, or mu(e_h) - mu(0): (H, D)."""
        if self.amplitudes is not None:
            return self.amplitudes.vectors
        latents = torch.eye(len(self.prior_probs), device=self.prior_probs.device)
        assert self.decoder is not None
        effects: Tensor = self.decoder(latents) - self.decoder(torch.zeros_like(latents[:1]))
        return effects

    @torch.no_grad()
    def calibrate_flips(self, states: Tensor) -> None:
        """Measure what a flip of each bit does to the mean, on average over `states` (M, H)."""
        if self.decoder is None:
            return
        latents = states.to(self.prior_probs.dtype)
        flipped = (latents[:, None] - torch.eye(latents.shape[1], device=latents.device)).abs()
        change = self.decoder(flipped) - self.decoder(latents)[:, None]  # (M, H, D)
        if self.free_patch_mean:
            change = change - change.mean(-1, keepdim=True)
        self.flip_cost = 0.5 * change.square().sum(-1).mean(0)

    def update_prior(self, expected_latents: Tensor) -> None:
        """pi_h = mean over patches of <z_h>_q, given as (H,)."""
        self.prior_probs = expected_latents.clamp(*PRIOR_BOUNDS)

    def update_noise_variance(self, residual_variance: Tensor) -> None:
        """sigma^2 = posterior-weighted squared error per degree of freedom, given as ()."""
        self.noise_variance = residual_variance.clamp(min=LEAST_NOISE_VARIANCE)
