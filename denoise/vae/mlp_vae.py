"""The published model: the mean of a patch is an MLP of its binary latents.

This is TVAE (Drefs, Guiraud, Panagiotou, Lücke 2022, arXiv 2011.13704, section 2):

    z_h ~ Bernoulli(pi_h),  x | z ~ Normal(mu(z; theta), sigma^2 I)

    log p(x, z) = sum_h [z_h log pi_h + (1 - z_h) log(1 - pi_h)]
                  - D/2 log(2 pi sigma^2) - |x - mu(z)|^2 / (2 sigma^2)

With a free patch mean, D is one less, and x and mu(z) come without their means.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from denoise.kernels import evolution
from denoise.kernels.mlp import Network
from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.vae.mlp import MLP
from denoise.vae.model import BinaryVAE
from denoise.vae.randomness import stream_of
from denoise.vae.states import LatentStates
from denoise.vae.stored_states import PackedStates, StateSets


class MLPVAE(BinaryVAE):
    """Binary latents whose mean is an MLP.

    Parameters
    ----------
    mlp : mu

    Attributes
    ----------
    flip_cost : (H,) float, half the mean squared effect of each flip on the mean (`calibrate`)
    """

    exact_flip_gains: ClassVar[bool] = False

    def __init__(
        self,
        mlp: MLP,
        prior_probs: Tensor,
        noise_variance: Tensor,
        *,
        free_patch_mean: bool = False,
    ) -> None:
        super().__init__(prior_probs, noise_variance, free_patch_mean=free_patch_mean)
        self.mlp = mlp
        self.flip_cost = torch.zeros_like(prior_probs)

    def log_joints(self, patches: Patches, bits: Tensor) -> Tensor:
        """As `BinaryVAE.log_joints`."""
        squared = self.residuals(patches, bits).square().sum(-1)
        log_odds = bits.to(squared.dtype) @ self.prior_probs.logit()
        return self.log_joints_of(patches, log_odds, squared)

    def residuals(self, patches: Patches, bits: Tensor) -> Tensor:
        """What mu(z) leaves of each patch, as far as the data see it: (N, S, D)."""
        return self._residuals_of(patches, self.mlp(bits.to(patches.values.dtype)))

    def _residuals_of(self, patches: Patches, means: Tensor) -> Tensor:
        """The same for given means (N, S, D).

        A free patch mean is taken off; patches are centred beforehand, or float32 would lose the
        difference.
        """
        if not self.free_patch_mean:
            return patches.residuals(means)
        return patches.project(patches.centred.residuals(means), free_mean=True)

    def flip_gains(self, patches: Patches, bits: Tensor) -> Tensor:
        """As `BinaryVAE.flip_gains`, estimated.

        The effect on the mean is taken to first order from the gradient of mu, and to second order
        from the mean squared effect of that flip: exact for a linear mu.
        """
        latents = bits.to(patches.values.dtype)
        residuals = self.residuals(patches, bits)
        with torch.enable_grad():
            latents.requires_grad_(True)
            means = self.mlp(latents)
            (gradient,) = torch.autograd.grad(means, latents, grad_outputs=residuals)
        gradient = gradient / self.noise_variance
        observed_share = patches.observed_counts[:, None, None] / patches.values.shape[1]
        cost = self.flip_cost / self.noise_variance * observed_share
        logit = self.prior_probs.logit()
        gains = torch.where(bits, -logit, logit)
        return gains + (torch.where(bits, -gradient, gradient) - cost)

    def flip_log_joints(self, patches: Patches, bits: Tensor, chosen: Tensor) -> Tensor:
        """As `BinaryVAE.flip_log_joints`.

        The first layer adds up one row for each latent that is on, so a child's is its parent's
        plus or minus a row: no product with the matrix of that layer.
        """
        latents = bits.to(patches.values.dtype)
        signs = 1 - 2 * latents.gather(2, chosen)
        logit = self.prior_probs.logit()
        log_odds = (latents @ logit)[..., None] + signs * logit[chosen]  # (N, P, M)
        means = self.mlp.after_flips(latents, chosen, signs).flatten(1, 2)
        squared = self._residuals_of(patches, means).square().sum(-1)
        return self.log_joints_of(patches, log_odds.flatten(1), squared.flatten(1))

    @torch.no_grad()
    def calibrate(self, bits: Tensor) -> None:
        """Measure what a flip of each bit does to the mean, on average over states (M, H)."""
        latents = bits.to(self.prior_probs.dtype)
        flipped = (latents[:, None] - torch.eye(latents.shape[1], device=latents.device)).abs()
        change = self.mlp(flipped) - self.mlp(latents)[:, None]  # (M, H, D)
        if self.free_patch_mean:
            change = change - change.mean(-1, keepdim=True)
        self.flip_cost = 0.5 * change.square().sum(-1).mean(0)

    def reconstructions(self, patches: Patches, bits: Tensor) -> tuple[Tensor, Tensor]:
        """As `BinaryVAE.reconstructions`; the mean is certain, but for a free patch mean."""
        means: Tensor = self.mlp(bits.to(patches.values.dtype))
        variances = torch.zeros_like(means)
        if self.free_patch_mean:
            counts = patches.observed_counts[:, None, None].clamp(min=1)
            means = means + patches.residuals(means).sum(-1, keepdim=True) / counts
            variances = variances + self.noise_variance / counts
        return means, variances

    def draw_given(self, bits: Tensor, generator: torch.Generator) -> Tensor:
        """As `BinaryVAE.draw_given`: mu(z), of which nothing is drawn."""
        means: Tensor = self.mlp(bits.to(self.prior_probs.dtype))
        return means

    @torch.no_grad()
    def latent_effects(self) -> Tensor:
        """mu(e_h) - mu(0): (H, D)."""
        latents = torch.eye(len(self.prior_probs), device=self.prior_probs.device)
        effects: Tensor = self.mlp(latents) - self.mlp(torch.zeros_like(latents[:1]))
        return effects

    def start_states(self, patches: Patches, pool: Tensor, count: int) -> LatentStates:
        """The `count` best states of `pool` (M, H) for each patch; places beyond M stay empty."""
        ranking = self.pool_log_joints(patches, pool)  # (N, M)
        chosen = ranking.topk(min(count, len(pool)), dim=1).indices
        bits = pool[chosen]
        log_joints = self.log_joints(patches, bits)
        empty = count - chosen.shape[1]
        return LatentStates(
            torch.cat([bits, bits[:, :1].expand(-1, empty, -1)], 1),
            pad(log_joints, (0, empty), value=-torch.inf),
        )

    def pool_log_joints(self, patches: Patches, pool: Tensor) -> Tensor:
        """log p(x_n, z) of the same states (M, H) for all patches, in one matrix product: (N, M).

        Rounding is coarser than in `log_joints`: for ranking, not for learning.
        """
        latents = pool.to(patches.values.dtype)
        means = self.mlp(latents)
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

    def network(self, patches: Patches) -> Network | None:
        """The MLP as kernels read it; None if they do not cover it."""
        if len(self.mlp.sizes) != 3 or patches.observed is not None:
            return None
        first, _, last = self.mlp.layers
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        values = patches.centred.values if self.free_patch_mean else patches.values
        network = Network(
            values=values.contiguous(),
            rows=first.weight.T.contiguous(),
            first=first.bias,
            weights=last.weight.T.contiguous(),
            last=last.bias,
            variance=self.noise_variance,
            leak=self.mlp.leak,
            FREE_MEAN=self.free_patch_mean,
        )
        return network if network.is_compiled else None

    def compiled_search(
        self,
        patches: Patches,
        sets: StateSets,
        options: SearchOptions,
        *,
        key: tuple[int, ...],
        steps: int,
    ) -> PackedStates | None:
        """As `BinaryVAE.compiled_search`; children differ from their parents in one bit."""
        if options.mutation not in ("random", "guided") or options.crossover:
            return None
        breeding = evolution.Breeding(
            options.parents,
            options.children,
            options.generations,
            options.parent_selection,
            guided=options.mutation == "guided",
        )
        network = self.network(patches)
        if network is None or not breeding.is_compiled(options.states):
            return None
        packed = sets if isinstance(sets, PackedStates) else PackedStates.of(sets)
        found = evolution.improve(
            network,
            self.prior_probs,
            self.flip_cost,
            patches.index,
            packed.packed,
            packed.log_joints,
            breeding,
            [stream_of((*key, step)) for step in range(steps)],
        )
        return PackedStates(*found, packed.latents)
