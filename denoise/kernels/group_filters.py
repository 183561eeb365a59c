"""Filters of groups of similar patches.

- `wiener_filter` (after NL-Bayes: Lebrun, Buades, Morel, SIAM J. Imaging Sciences 2013):
  the pilot patches of a group give the mean and covariance of a local Gaussian model.
- `low_rank_filter` (after WNNM: Gu, Zhang, Zuo, Feng, CVPR 2014): the noisy patches of
  a group, a nearly low-rank matrix, lose their small singular values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from denoise.kernels.choice import Implementation, implementation
from denoise.kernels.launching import WARPS, launch, power_of_two

# Weaker noise than this share of the signal's variance is lost in float32.
LEAST_NOISE_SHARE = 1e-6
# Patches of a group handled at a time on a GPU; matrix products want 16 at least.
PATCHES_BLOCK, LEAST_BLOCK = 32, 16
# Larger patches do not fit into a GPU's registers.
MOST_VALUES = 64


def wiener_filter(noisy: Tensor, pilot: Tensor, noise_variance: float, *, boost: float) -> Tensor:
    """Posterior mean under a Gaussian with the mean m and covariance C of the pilot patches.

    m + C (C + sigma^2 I)^-1 (y - m), by way of whichever of D and M is smaller.

    Parameters
    ----------
    noisy, pilot : (B, M, D) float, B groups of M patches
    boost : C is enlarged by this share, since the pilot is smoother than the truth

    Returns
    -------
    (B, M, D) float
    """
    mean = pilot.mean(1, keepdim=True)
    centred = (pilot - mean) * math.sqrt((1 + boost) / max(pilot.shape[1] - 1, 1))
    difference = noisy - mean
    if centred.shape[2] <= centred.shape[1]:
        covariance = centred.mT @ centred  # (B, D, D)
        weights = _solve(_with_noise(covariance, noise_variance), covariance)
    else:
        gram = centred @ centred.mT  # (B, M, M)
        weights = _solve(_with_noise(gram, noise_variance), centred)
        difference = difference @ centred.mT
    estimate: Tensor = mean + difference @ weights
    return estimate


def low_rank_filter(noisy: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted nuclear norm shrinkage, in closed form (Gu et al. 2014).

    With C = 2 sqrt(2) sqrt(M) sigma^2, a singular value s of the centred group becomes
    (s + sqrt(s^2 - 4 C)) / 2 where that is real, else 0.

    Parameters
    ----------
    noisy : (B, M, D) float
    noise : (B,) float, standard deviation of each group's noise

    Returns
    -------
    estimates : (B, M, D) float
    weights : (B,) float, one over the share of the noise that is left: how far to trust them
    """
    compiled: tuple[Implementation, ...] = ("triton",) if noisy.shape[2] <= MOST_VALUES else ()
    if implementation(noisy, *compiled) == "triton":
        return _low_rank_on_gpu(noisy, noise)
    mean = noisy.mean(1, keepdim=True)
    centred = noisy - mean
    tall = centred.shape[1] > centred.shape[2]
    gram = centred.mT @ centred if tall else centred @ centred.mT
    squares, vectors = torch.linalg.eigh(gram)
    squares = squares.clamp(min=1e-12)[:, None]  # (B, 1, min(M, D))
    threshold = _threshold(noisy.shape[1]) * noise.square()[:, None, None]
    kept = squares > threshold
    factors = 0.5 + 0.5 * (1 - threshold / squares).clamp(min=0).sqrt()
    factors = torch.where(kept, factors, 0)
    shrunk: Tensor
    if tall:
        shrunk = ((centred @ vectors) * factors) @ vectors.mT
    else:
        shrunk = (vectors * factors) @ (vectors.mT @ centred)
    return mean + shrunk, 1 / (1 + factors.square().sum((1, 2)))


def _threshold(group_size: int) -> float:
    """4 C for noise of variance 1."""
    return 8 * math.sqrt(2 * group_size)


def _low_rank_on_gpu(noisy: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    from denoise.kernels import low_rank_triton

    count, size, values = noisy.shape
    noisy, noise = noisy.contiguous(), noise.contiguous()
    estimates, weights = torch.empty_like(noisy), torch.empty_like(noise)
    launch(
        low_rank_triton.low_rank,
        (count,),
        warps=2 * WARPS,
        patches=noisy,
        noise=noise,
        estimates=estimates,
        weights=weights,
        group_size=size,
        values=values,
        threshold=_threshold(size),
        BLOCK_M=PATCHES_BLOCK,
        K=max(power_of_two(values), LEAST_BLOCK),
    )
    return estimates, weights


def _with_noise(matrices: Tensor, noise_variance: float) -> Tensor:
    """Matrices (B, K, K) with the noise on their diagonal, or with what keeps them solvable."""
    largest = matrices.diagonal(dim1=-2, dim2=-1).amax(-1)
    added = (LEAST_NOISE_SHARE * largest).clamp(min=noise_variance)[:, None, None]
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    return matrices + added * eye


def _solve(matrices: Tensor, right: Tensor) -> Tensor:
    """Solutions of systems that `_with_noise` keeps solvable, without waiting for a GPU's check."""
    solutions: Tensor = torch.linalg.solve_ex(matrices, right).result
    return solutions
