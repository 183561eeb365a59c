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
from itertools import pairwise

import torch
from torch import Tensor, nn

from denoise.patches import Patches

# A prior of exactly 0 or 1 would forbid a latent for ever.
PRIOR_BOUNDS = (1e-5, 1 - 1e-5)
# A constant image would drive the learned variance, and with it the ELBO, to infinity.
LEAST_NOISE_VARIANCE = 1e-6


class MLPDecoder(nn.Module):
    """Multi-layer perceptron from H latents to D patch values, with a linear output.

    Parameters
    ----------
    sizes : (H, widths of the hidden layers..., D)
    leak : slope of the activation below zero; 0 is a ReLU
    generator : source of the Xavier-normal weights; biases start at zero
    """

    def __init__(self, sizes: tuple[int, ...], *, leak: float, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            linear = nn.Linear(inputs, outputs)
            nn.init.xavier_normal_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.LeakyReLU(leak)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, latents: Tensor) -> Tensor:
        """Means of the patches: (..., H) float -> (..., D)."""
        means: Tensor = self.layers(latents)
        return means


class BinaryVAE:
    """Bernoulli prior, MLP decoder, isotropic Gaussian likelihood.

    z_h ~ Bernoulli(pi_h),  x | z ~ Normal(m 1 + mu(z), sigma^2 I), where the
    brightness m of the patch is 0 (the published model) or, with
    `free_patch_mean`, unknown under a flat prior and integrated out.

    Attributes
    ----------
    decoder : module from (..., H) to (..., D)
    prior_probs : (H,) float, pi
    noise_variance : () float, sigma^2 in the units of the patches
    free_patch_mean : whether m is free
    """

    def __init__(
        self,
        decoder: nn.Module,
        prior_probs: Tensor,
        noise_variance: Tensor,
        *,
        free_patch_mean: bool = False,
    ) -> None:
        self.decoder = decoder
        self.prior_probs = prior_probs
        self.noise_variance = noise_variance
        self.free_patch_mean = free_patch_mean
        self._flip_cost = torch.zeros_like(prior_probs)

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
        latents = states.to(patches.values.dtype)
        squared = self.squared_errors(patches, self.decoder(latents))
        return self._log_joints(patches, latents, squared)

    def pool_log_joints(self, patches: Patches, pool: Tensor) -> Tensor:
        """log p(x_n, z) of the same states for all patches, through one matrix product.

        Rounding is coarser than in `log_joints`: for ranking, not for learning.

        Parameters
        ----------
        pool : (M, H) bool

        Returns
        -------
        (N, M) float
        """
        latents = pool.to(patches.values.dtype)
        means: Tensor = self.decoder(latents)
        if self.free_patch_mean:
            patches, means = patches.centred, means - means.mean(1, keepdim=True)
        values, mask = patches.values, patches.mask
        squared = (
            values.square().sum(1, keepdim=True) - 2 * values @ means.T + mask @ means.square().T
        )
        if self.free_patch_mean:
            total = values.sum(1, keepdim=True) - mask @ means.T
            squared = squared - total.square() / patches.observed_counts[:, None].clamp(min=1)
        return self._log_joints(patches, latents, squared)

    def squared_errors(self, patches: Patches, means: Tensor) -> Tensor:
        """Squared distance of each patch to `means` (N, S, D), observed pixels only: (N, S).

        A free patch mean is fitted first: |r|^2 - (sum of r)^2 / (number of values),
        with patches centred beforehand, or float32 would lose the difference.
        """
        if not self.free_patch_mean:
            return patches.residuals(means).square().sum(-1)
        residuals = patches.centred.residuals(means)
        counts = patches.observed_counts[:, None].clamp(min=1)
        squared = residuals.square().sum(-1) - residuals.sum(-1).square() / counts
        return squared.clamp(min=0)

    def degrees_of_freedom(self, patches: Patches) -> Tensor:
        """Number of values that carry noise after a free patch mean is fitted: (N,)."""
        counts = patches.observed_counts
        return (counts - 1).clamp(min=0) if self.free_patch_mean else counts

    def _log_joints(self, patches: Patches, latents: Tensor, squared: Tensor) -> Tensor:
        log_prior = latents @ self.prior_probs.logit() + torch.log1p(-self.prior_probs).sum()
        log_normaliser = 0.5 * self.degrees_of_freedom(patches) * self._log_noise()
        return log_prior - 0.5 * squared / self.noise_variance - log_normaliser[:, None]

    def _log_noise(self) -> Tensor:
        return (2 * math.pi * self.noise_variance).log()

    def reconstructions(self, patches: Patches, states: Tensor) -> Tensor:
        """Mean of the noise-free patch given each of its states, missing pixels included.

        Parameters
        ----------
        states : (N, S, H) bool

        Returns
        -------
        (N, S, D) float
        """
        means: Tensor = self.decoder(states.to(patches.values.dtype))
        if self.free_patch_mean:
            counts = patches.observed_counts[:, None, None].clamp(min=1)
            means = means + patches.residuals(means).sum(-1, keepdim=True) / counts
        return means

    def flip_gains(self, patches: Patches, states: Tensor) -> Tensor:
        """Estimated rise of the log joint when one bit is flipped, for every bit.

        First order from the decoder's gradient, second order from the mean
        squared effect of that flip (`calibrate_flips`): a proposal, not exact.

        Parameters
        ----------
        states : (N, P, H) bool

        Returns
        -------
        (N, P, H) float, nats
        """
        latents = states.to(patches.values.dtype)
        with torch.enable_grad():
            latents.requires_grad_(True)
            means = self.decoder(latents)
            residuals = patches.residuals(means.detach())
            if self.free_patch_mean:
                counts = patches.observed_counts[:, None, None].clamp(min=1)
                residuals = residuals - residuals.sum(-1, keepdim=True) / counts
            (slopes,) = torch.autograd.grad(means, latents, grad_outputs=residuals)
        slopes = slopes / self.noise_variance + self.prior_probs.logit()
        observed_share = patches.observed_counts[:, None, None] / patches.values.shape[1]
        cost = self._flip_cost / self.noise_variance * observed_share
        return torch.where(states, -slopes, slopes) - cost

    @torch.no_grad()
    def calibrate_flips(self, states: Tensor) -> None:
        """Measure what a flip of each bit does to the mean, on average over `states` (M, H)."""
        latents = states.to(self.prior_probs.dtype)
        flipped = (latents[:, None] - torch.eye(latents.shape[1], device=latents.device)).abs()
        change = self.decoder(flipped) - self.decoder(latents)[:, None]  # (M, H, D)
        if self.free_patch_mean:
            change = change - change.mean(-1, keepdim=True)
        self._flip_cost = 0.5 * change.square().sum(-1).mean(0)

    def update_prior(self, expected_latents: Tensor) -> None:
        """pi_h = mean over patches of <z_h>_q, given as (H,)."""
        self.prior_probs = expected_latents.clamp(*PRIOR_BOUNDS)

    def update_noise_variance(self, residual_variance: Tensor) -> None:
        """sigma^2 = posterior-weighted squared error per degree of freedom, given as ()."""
        self.noise_variance = residual_variance.clamp(min=LEAST_NOISE_VARIANCE)
