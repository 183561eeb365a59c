"""Gaussian amplitudes of active latents, integrated out exactly.

Given the residual r of a patch after its mean, x = ... + W_z^T a + noise with
a ~ Normal(0, I) over the K active latents (spike-and-slab coding; the model of
ES3C in Drefs, Guiraud, Lücke, JMLR 23(21), 2022). In units of sigma, with
G = W W^T, c = W_z r and M = I + G_zz:

    log p(x | z) = log Normal(r; 0, I) + 1/2 c^T M^-1 c - 1/2 log det M
    a | x, z     ~ Normal(M^-1 c, M^-1)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.patches import Patches


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


def active_latents(states: Tensor) -> Tensor:
    """Indices of the latents that are on, ascending, then H: (N, S, K), K the largest number."""
    latents = states.shape[-1]
    most = max(int(states.sum(-1).max()), 1)
    index = torch.arange(latents, dtype=torch.int32, device=states.device)
    chosen = torch.where(states, index, latents).topk(most, largest=False, sorted=True)
    return chosen.values.long()


class GaussianAmplitudes:
    """One vector per latent, which enters a patch with a standard normal amplitude.

    Parameters
    ----------
    vectors : (H, D) float, W, in the units of the patches
    free_patch_mean : whether the brightness of each patch is integrated out too
    """

    def __init__(self, vectors: Tensor, *, free_patch_mean: bool) -> None:
        self.vectors = vectors
        self.free_patch_mean = free_patch_mean

    def posterior(
        self, patches: Patches, states: Tensor, residuals: Tensor, noise_variance: Tensor
    ) -> AmplitudePosterior:
        """Integrate the amplitudes of every state out.

        Parameters
        ----------
        patches : N patches, which say what of W is seen
        states : (N, S, H) bool
        residuals : (N, S or 1, D) float, what the mean leaves of the patches, projected
        """
        active = active_latents(states)
        vectors = pad(self.vectors, (0, 0, 0, 1))[active]
        seen = patches.project(vectors, free_mean=self.free_patch_mean)
        gram = vectors @ seen.mT / noise_variance
        projections = (vectors @ residuals[..., None]).squeeze(-1) / noise_variance
        eye = torch.eye(active.shape[-1], dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky(eye + gram)
        covariances = torch.cholesky_inverse(factor)
        means = (covariances @ projections[..., None]).squeeze(-1)
        log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_evidence = 0.5 * (projections * means).sum(-1) - 0.5 * log_determinant
        return AmplitudePosterior(active, vectors, gram, means, covariances, log_evidence)

    def flip_gains(
        self,
        patches: Patches,
        posterior: AmplitudePosterior,
        residuals: Tensor,
        noise_variance: Tensor,
    ) -> Tensor:
        """Rise of the log likelihood when a latent is switched on or, if it is on, off.

        Exact where the mean does not depend on z: with g_j = G_zj,
        v_j = 1 + G_jj - g_j^T M^-1 g_j and rho_j = c_j - g_j^T M^-1 c, latent j adds
        1/2 rho_j^2 / v_j - 1/2 log v_j (Schur complement), and latent i takes
        1/2 a_i^2 / [M^-1]_ii + 1/2 log [M^-1]_ii away.

        Returns
        -------
        (N, P, H) float, nats
        """
        free_mean = self.free_patch_mean
        seen = patches.project(posterior.vectors, free_mean=free_mean)
        cross = seen @ self.vectors.T / noise_variance  # (N, P, K, H)
        own = patches.projected_squares(self.vectors, free_mean=free_mean) / noise_variance
        v = 1 + own[:, None] - ((posterior.covariances @ cross) * cross).sum(-2)
        rho = residuals @ self.vectors.T / noise_variance
        rho = rho - (posterior.means[..., None, :] @ cross).squeeze(-2)
        adding = 0.5 * rho.square() / v.clamp(min=1) - 0.5 * v.clamp(min=1).log()
        variances = posterior.covariances.diagonal(dim1=-2, dim2=-1)
        removing = -0.5 * posterior.means.square() / variances - 0.5 * variances.log()
        return pad(adding, (0, 1)).scatter(-1, posterior.active, removing)[..., :-1]
