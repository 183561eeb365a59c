"""The amplitude model on a CPU at full speed: tensors in and out of the compiled kernels.

Blocks of patches are shared out to threads; every sum is taken block by block
in a fixed order, so that results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoise.model import BinaryVAE
from denoise.patches import Patches
from denoise.states import SparseStates

BLOCK = 512

Result = TypeVar("Result")


def supports(model: BinaryVAE, patches: Patches) -> bool:
    """Whether the kernels cover the case: W but no mean, nothing missing, float32, CPU."""
    return (
        model.amplitudes is not None
        and model.decoder is None
        and patches.observed is None
        and patches.values.device.type == "cpu"
        and patches.values.dtype == torch.float32
    )


def explore(
    model: BinaryVAE,
    patches: Patches,
    population: SparseStates,
    *,
    expansions: int,
    children: int,
) -> SparseStates:
    """Score the states under the present parameters and search on, as `neighbourhood.explore`.

    Overwrites `population`.
    """
    from denoise import kernels

    projections, gram = _projections(model, patches)
    log_odds = model.prior_probs.logit().numpy()
    active = population.active.contiguous()
    absent = population.log_joints.isneginf()
    scores = torch.zeros_like(population.log_joints).masked_fill_(absent, float(kernels.ABSENT))
    scores_array = scores.numpy()

    def work(rows: slice) -> None:
        kernels.explore(
            projections[rows],
            gram,
            log_odds,
            _keys(len(log_odds)),
            active.numpy()[rows],
            scores_array[rows],
            expansions,
            children,
        )

    _share_out(work, len(patches))
    nothing_on = torch.zeros(len(patches), 1, population.latents, dtype=torch.bool)
    shared = model.log_joints(patches, nothing_on)
    log_joints = torch.where(scores > float(kernels.ABSENT), scores + shared, -torch.inf)
    return SparseStates(active, log_joints, population.latents)


def posterior_sums(
    model: BinaryVAE, patches: Patches, states: SparseStates
) -> tuple[Tensor, Tensor, Tensor]:
    """Posterior expectations over the truncated posterior.

    Returns
    -------
    latents : (H,) float, sum over patches of <z>
    products : (H, H) float, sum over patches of <a a^T>
    amplitudes : (N, H) float, <a> of each patch
    """
    from denoise import kernels

    projections, gram = _projections(model, patches)
    weights = states.posterior_weights().numpy()
    active = states.active.numpy()
    amplitudes = np.zeros_like(projections)

    def work(rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        latents, products = np.zeros_like(gram[0]), np.zeros_like(gram)
        kernels.accumulate(
            projections[rows],
            gram,
            active[rows],
            weights[rows],
            latents,
            products,
            amplitudes[rows],
        )
        return latents, products

    latents, products = np.zeros_like(gram[0]), np.zeros_like(gram)
    for block_latents, block_products in _share_out(work, len(patches)):
        latents += block_latents
        products += block_products
    return torch.from_numpy(latents), torch.from_numpy(products), torch.from_numpy(amplitudes)


def posterior_mean(model: BinaryVAE, patches: Patches, states: SparseStates) -> Tensor:
    """Expected noise-free patches: (N, D)."""
    assert model.amplitudes is not None
    amplitudes = posterior_sums(model, patches, states)[2]
    vectors = model.amplitudes.vectors
    if not model.free_patch_mean:
        return amplitudes @ vectors
    vectors = vectors - vectors.mean(1, keepdim=True)
    return patches.values.mean(1, keepdim=True) + amplitudes @ vectors


def _projections(
    model: BinaryVAE, patches: Patches
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """c = W x (N, H) and G = W W^T (H, H), in units of sigma."""
    assert model.amplitudes is not None
    vectors = model.amplitudes.vectors
    if model.free_patch_mean:
        vectors, patches = vectors - vectors.mean(1, keepdim=True), patches.centred
    scale = 1 / model.noise_variance
    projections = patches.values @ (vectors.T * scale)
    return projections.numpy(), (vectors @ vectors.T * scale).numpy()


def _share_out(work: Callable[[slice], Result], count: int) -> Iterable[Result]:
    """Results of `work` on blocks of rows, in order."""
    blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(work, blocks))


@cache
def _keys(latents: int) -> NDArray[np.int64]:
    """A random number for each latent; a state's hash is the exclusive or of its latents'."""
    return np.random.default_rng(20221113).integers(-(2**62), 2**62, latents)
