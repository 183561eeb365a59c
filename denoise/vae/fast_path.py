"""The amplitude model at full speed, where there are kernels for it: numba's or Triton's.

They cover what presets use: W without a mean, no missing values, float32, on a CPU or a CUDA
GPU. Everything else takes the plain tensors of `neighbourhood.py` and `amplitudes.py`, which
give the same numbers.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from denoise.kernels import amplitude_cpu as on_cpu
from denoise.kernels import amplitude_gpu as on_gpu
from denoise.patches import Patches
from denoise.vae.best_first import Extent
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import SparseStates, StateSets


class Kernels(Protocol):
    """What `cpu/amplitude.py` and `gpu/amplitude.py` offer, whatever the number of patches."""

    def explore(
        self,
        projections: Tensor,
        gram: Tensor,
        log_odds: Tensor,
        population: SparseStates,
        extent: Extent,
    ) -> SparseStates:
        """Score states and search on, as `neighbourhood.explore`.

        Log joints come without what all states of a patch share.
        """

    def posterior_sums(
        self, projections: Tensor, gram: Tensor, states: SparseStates, *, amplitudes_only: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `fast_path.posterior_sums`; the first two may be left out."""


def kernels_for(model: BinaryVAE, patches: Patches, sets: StateSets) -> Kernels | None:
    """The kernels that cover the case, or None."""
    if model.amplitudes is None or model.decoder is not None or patches.observed is not None:
        return None
    if patches.values.dtype != torch.float32 or not isinstance(sets, SparseStates):
        return None
    if patches.values.device.type == "cpu":
        return on_cpu
    return on_gpu if on_gpu.supports(model, sets) else None


def explore(
    kernels: Kernels,
    model: BinaryVAE,
    patches: Patches,
    population: StateSets,
    extent: Extent,
) -> SparseStates:
    """Score the states under the present parameters and search on, as `neighbourhood.explore`."""
    assert isinstance(population, SparseStates)
    found = kernels.explore(
        *_projections(model, patches),
        model.prior_probs.logit(),
        population,
        extent,
    )
    nothing_on = torch.zeros_like(found.log_joints[:, :1])
    values = (patches.centred if model.free_patch_mean else patches).values
    shared = model.log_joints_of(patches, nothing_on, values.square().sum(1, keepdim=True))
    return SparseStates(found.active, found.log_joints + shared, population.latents)


def posterior_sums(
    kernels: Kernels, model: BinaryVAE, patches: Patches, states: StateSets
) -> tuple[Tensor, Tensor, Tensor]:
    """Posterior expectations over the truncated posterior.

    Returns
    -------
    latents : (H,) float, sum over patches of <z>
    products : (H, H) float, sum over patches of <a a^T>
    amplitudes : (N, H) float, <a> of each patch
    """
    assert isinstance(states, SparseStates)
    return kernels.posterior_sums(*_projections(model, patches), states, amplitudes_only=False)


def posterior_mean(
    kernels: Kernels, model: BinaryVAE, patches: Patches, states: StateSets
) -> Tensor:
    """Expected noise-free patches: (N, D)."""
    assert model.amplitudes is not None
    assert isinstance(states, SparseStates)
    _, _, amplitudes = kernels.posterior_sums(
        *_projections(model, patches), states, amplitudes_only=True
    )
    vectors = model.amplitudes.vectors
    if not model.free_patch_mean:
        return amplitudes @ vectors
    vectors = vectors - vectors.mean(1, keepdim=True)
    return patches.values.mean(1, keepdim=True) + amplitudes @ vectors


def _projections(model: BinaryVAE, patches: Patches) -> tuple[Tensor, Tensor]:
    """c = W x (N, H) and G = W W^T (H, H), in units of sigma."""
    assert model.amplitudes is not None
    vectors = model.amplitudes.vectors
    if model.free_patch_mean:
        vectors, patches = vectors - vectors.mean(1, keepdim=True), patches.centred
    scale = 1 / model.noise_variance
    return patches.values @ (vectors.T * scale), vectors @ vectors.T * scale
