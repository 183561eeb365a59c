"""The amplitude model: every active latent adds a learned patch with a Gaussian amplitude.

This is spike-and-slab sparse coding as in ES3C (Drefs, Guiraud, Lücke, JMLR 23(21), 2022):

    x = m 1 + W_z^T a + noise,  a ~ Normal(0, I) over the K latents that are on

Amplitudes are integrated out exactly. In units of sigma, with r the patch without m, G = W W^T,
c = W_z r and M = I + G_zz:

    log p(x | z) = log Normal(r; 0, I) + 1/2 c^T M^-1 c - 1/2 log det M
    a | x, z     ~ Normal(M^-1 c, M^-1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.kernels import amplitude
from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.vae.best_first import extent_of
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import SparseStates, StateSets, no_latents_on


@dataclass(frozen=True)
class AmplitudePosterior:
    """What the data say about the amplitudes of each state.

    Attributes
    ----------
    active : (N, S, K) int64, the latents that are on; H where there are fewer than K
    vectors : (N, S, K, D) float, their rows of W; zero where there are fewer
    gram : (N, S, K, K) float, G_zz over the observed values, in units of sigma^2
    means : (N, S, K) float, E[a | x, z]
    covariances : (N, S, K, K) float, M^-1
    log_evidence : (N, S) float, what the amplitudes add to the log likelihood
    """

    active: Tensor
    vectors: Tensor
    gram: Tensor
    means: Tensor
    covariances: Tensor
    log_evidence: Tensor

    @property
    def second_moments(self) -> Tensor:
        """E[a a^T | x, z]: (N, S, K, K)."""
        return self.covariances + self.means[..., :, None] * self.means[..., None, :]

    @property
    def reconstructions(self) -> Tensor:
        """W_z^T E[a | x, z]: (N, S, D)."""
        return (self.means[..., None, :] @ self.vectors).squeeze(-2)


class AmplitudeVAE(BinaryVAE):
    """Binary latents with standard normal amplitudes.

    Parameters
    ----------
    vectors : (H, D) float, W, in the units of the patches
    max_active : the search keeps states with at most this many latents on
    """

    exact_flip_gains: ClassVar[bool] = True

    def __init__(
        self,
        vectors: Tensor,
        prior_probs: Tensor,
        noise_variance: Tensor,
        *,
        free_patch_mean: bool = False,
        max_active: int = 8,
    ) -> None:
        super().__init__(prior_probs, noise_variance, free_patch_mean=free_patch_mean)
        self.vectors = vectors
        self.max_active = max_active

    def log_joints(self, patches: Patches, bits: Tensor) -> Tensor:
        """As `BinaryVAE.log_joints`."""
        residuals = self.residuals(patches)
        squared = residuals.square().sum(-1)
        log_odds = bits.to(squared.dtype) @ self.prior_probs.logit()
        evidence = self.amplitude_posterior(patches, bits).log_evidence
        return self.log_joints_of(patches, log_odds, squared) + evidence

    def residuals(self, patches: Patches) -> Tensor:
        """r, the patches without a free mean: (N, 1, D)."""
        return (patches.centred if self.free_patch_mean else patches).values[:, None]

    def amplitude_posterior(self, patches: Patches, bits: Tensor) -> AmplitudePosterior:
        """Posterior of the amplitudes of every state (N, S, H)."""
        active = active_latents(bits)
        vectors = pad(self.vectors, (0, 0, 0, 1))[active]
        seen = patches.project(vectors, free_mean=self.free_patch_mean)
        gram = vectors @ seen.mT / self.noise_variance
        residuals = self.residuals(patches)
        projections = (vectors @ residuals[..., None]).squeeze(-1) / self.noise_variance
        eye = torch.eye(active.shape[-1], dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky(eye + gram)
        covariances = torch.cholesky_inverse(factor)
        means = (covariances @ projections[..., None]).squeeze(-1)
        log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_evidence = 0.5 * (projections * means).sum(-1) - 0.5 * log_determinant
        return AmplitudePosterior(active, vectors, gram, means, covariances, log_evidence)

    def flip_gains(self, patches: Patches, bits: Tensor) -> Tensor:
        """As `BinaryVAE.flip_gains`, exact; -inf where more than `max_active` would be on.

        With g_j = G_zj, v_j = 1 + G_jj - g_j^T M^-1 g_j and rho_j = c_j - g_j^T M^-1 c, latent j
        adds 1/2 rho_j^2 / v_j - 1/2 log v_j to the log likelihood (Schur complement), and latent i
        takes 1/2 a_i^2 / [M^-1]_ii + 1/2 log [M^-1]_ii away.
        """
        free_mean = self.free_patch_mean
        posterior = self.amplitude_posterior(patches, bits)
        seen = patches.project(posterior.vectors, free_mean=free_mean)
        cross = seen @ self.vectors.T / self.noise_variance  # (N, P, K, H)
        own = patches.projected_squares(self.vectors, free_mean=free_mean) / self.noise_variance
        v = 1 + own[:, None] - ((posterior.covariances @ cross) * cross).sum(-2)
        rho = self.residuals(patches) @ self.vectors.T / self.noise_variance
        rho = rho - (posterior.means[..., None, :] @ cross).squeeze(-2)
        adding = 0.5 * rho.square() / v.clamp(min=1) - 0.5 * v.clamp(min=1).log()
        variances = posterior.covariances.diagonal(dim1=-2, dim2=-1)
        removing = -0.5 * posterior.means.square() / variances - 0.5 * variances.log()
        gains = pad(adding, (0, 1)).scatter(-1, posterior.active, removing)[..., :-1]
        logit = self.prior_probs.logit()
        gains = torch.where(bits, -logit, logit) + gains
        full = bits.sum(-1, keepdim=True) >= self.max_active
        return gains.masked_fill(full & ~bits, -torch.inf)

    def calibrate(self, bits: Tensor) -> None:
        """Nothing to measure: `flip_gains` are exact."""

    def reconstructions(self, patches: Patches, bits: Tensor) -> tuple[Tensor, Tensor]:
        """As `BinaryVAE.reconstructions`."""
        posterior = self.amplitude_posterior(patches, bits)
        means, vectors = posterior.reconstructions, posterior.vectors
        brightness = means.new_zeros(())
        if self.free_patch_mean:
            counts = patches.observed_counts[:, None, None].clamp(min=1)
            means = means + patches.residuals(means).sum(-1, keepdim=True) / counts
            brightness = self.noise_variance / counts
            seen = patches.masked(vectors).sum(-1, keepdim=True)
            vectors = vectors - seen / counts[..., None]
        return means, (posterior.covariances @ vectors * vectors).sum(-2) + brightness

    def expected_squared_errors(self, patches: Patches, posterior: AmplitudePosterior) -> Tensor:
        """Squared distance of each patch to its noise-free version under each state: (N, S)."""
        residuals = self.residuals(patches)
        explained = (residuals[..., None, :] @ posterior.vectors.mT).squeeze(-2)
        explained = (explained * posterior.means).sum(-1)
        size = (posterior.gram * posterior.second_moments).sum((-2, -1)) * self.noise_variance
        return (residuals.square().sum(-1) - 2 * explained + size).clamp(min=0)

    def latent_effects(self) -> Tensor:
        """W: (H, D)."""
        return self.vectors

    def draw_given(self, bits: Tensor, generator: torch.Generator) -> Tensor:
        """As `BinaryVAE.draw_given`: W_z^T a, with amplitudes a from their prior."""
        amplitudes = torch.randn(bits.shape, generator=generator).to(self.vectors)
        return (amplitudes * bits) @ self.vectors

    def start_states(self, patches: Patches, pool: Tensor, count: int) -> SparseStates:
        """Sets of one state with no latent on, and `count` - 1 empty places."""
        return no_latents_on(count, pool.shape[1], self.max_active, patches.values)

    def compiled_search(
        self,
        patches: Patches,
        sets: StateSets,
        options: SearchOptions,
        *,
        key: tuple[int, ...],
        steps: int,
    ) -> SparseStates | None:
        """As `BinaryVAE.compiled_search`; best first, whatever the random numbers."""
        if not isinstance(sets, SparseStates):
            return None
        problem, extent = self._problem(patches), extent_of(options, steps)
        found = amplitude.explore(problem, sets.active, sets.log_joints, extent)
        if found is None:
            return None
        active, log_joints = found
        squared = self.residuals(patches).square().sum(-1)
        shared = self.log_joints_of(patches, torch.zeros_like(log_joints[:, :1]), squared)
        return SparseStates(active, log_joints + shared, sets.latents)

    def compiled_sums(
        self, patches: Patches, states: StateSets, *, amplitudes_only: bool = False
    ) -> amplitude.Sums | None:
        """Sums over patches; None if no compiled implementation covers the case."""
        if not isinstance(states, SparseStates):
            return None
        return amplitude.posterior_sums(
            self._problem(patches),
            states.active,
            states.log_joints,
            amplitudes_only=amplitudes_only,
        )

    def posterior_mean(self, patches: Patches, states: StateSets) -> Tensor:
        """As `BinaryVAE.posterior_mean`."""
        sums = self.compiled_sums(patches, states, amplitudes_only=True)
        if sums is None:
            return super().posterior_mean(patches, states)
        if not self.free_patch_mean:
            return sums.amplitudes @ self.vectors
        if patches.observed is None:
            means = sums.amplitudes @ self._centred_vectors()
            return patches.values.mean(1, keepdim=True) + means
        means = sums.amplitudes @ self.vectors
        counts = patches.observed_counts[:, None].clamp(min=1)
        return means + patches.masked(patches.values - means).sum(1, keepdim=True) / counts

    def posterior_variance(self, patches: Patches, states: StateSets) -> Tensor:
        """As `BinaryVAE.posterior_variance`: of W^T a, and of the brightness if it is fitted."""
        sums = self.compiled_sums(patches, states, amplitudes_only=True)
        if sums is None or not isinstance(states, SparseStates):
            return super().posterior_variance(patches, states)
        means = sums.amplitudes @ (self.vectors / self.noise_variance.sqrt())
        counts, brightness = patches.observed_counts[:, None].clamp(min=1), means.new_zeros(1)
        if self.free_patch_mean:
            means = means - patches.masked(means).sum(1, keepdim=True) / counts
            brightness = 1 / counts
        problem = self._problem(patches)
        spread = amplitude.posterior_variances(problem, states.active, states.log_joints, means)
        if spread is None:
            return super().posterior_variance(patches, states)
        return (spread + brightness) * self.noise_variance

    def _problem(self, patches: Patches) -> amplitude.Problem:
        """c = W r (N, H), G = W W^T (H, H), in units of sigma, and the logit of pi (H,)."""
        vectors = self._centred_vectors() if self.free_patch_mean else self.vectors
        scale = 1 / self.noise_variance
        values = self.residuals(patches)[:, 0]
        return amplitude.Problem(
            values @ (vectors.T * scale),
            vectors @ vectors.T * scale,
            self.prior_probs.logit(),
            patches.observed,
            self.vectors * scale.sqrt(),
            self.free_patch_mean,
        )

    def _centred_vectors(self) -> Tensor:
        return self.vectors - self.vectors.mean(1, keepdim=True)


def active_latents(bits: Tensor) -> Tensor:
    """Indices of the latents that are on, ascending, then H: (N, S, K), K the largest number."""
    latents = bits.shape[-1]
    most = max(int(bits.sum(-1).max()), 1)
    index = torch.arange(latents, dtype=torch.int32, device=bits.device)
    chosen = torch.where(bits, index, latents).topk(most, largest=False, sorted=True)
    return chosen.values.long()
