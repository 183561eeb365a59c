"""E-step and M-step of the amplitude model on a CPU.

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

from denoise.vae.best_first import Extent
from denoise.vae.stored_states import SparseStates

BLOCK = 512

Result = TypeVar("Result")


def explore(
    projections: Tensor,
    gram: Tensor,
    log_odds: Tensor,
    population: SparseStates,
    extent: Extent,
) -> SparseStates:
    """As `fast_path.Kernels.explore`."""
    from denoise.kernels import amplitude_numba as kernels

    absent = float(kernels.ABSENT)
    active = population.active.clone(memory_format=torch.contiguous_format)
    scores = torch.zeros_like(population.log_joints)
    scores.masked_fill_(population.log_joints.isneginf(), absent)
    per_patch = [one.numpy() for one in (projections, active, scores)]

    def work(rows: slice) -> None:
        projections_here, active_here, scores_here = (one[rows] for one in per_patch)
        kernels.explore(
            projections_here,
            gram.numpy(),
            log_odds.numpy(),
            _keys(len(log_odds)),
            active_here,
            scores_here,
            extent.expansions,
            extent.children,
            extent.reach,
        )

    _share_out(work, len(projections))
    log_joints = torch.where(scores > absent, scores, -torch.inf)
    return SparseStates(active, log_joints, population.latents)


def posterior_sums(
    projections: Tensor, gram: Tensor, states: SparseStates, *, amplitudes_only: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """As `fast_path.Kernels.posterior_sums`; all of them cost little more than one."""
    from denoise.kernels import amplitude_numba as kernels

    amplitudes = torch.zeros_like(projections)
    weights = states.posterior_weights()
    per_patch = [one.numpy() for one in (projections, states.active, weights, amplitudes)]

    def work(rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        latents, products = np.zeros(len(gram), np.float32), np.zeros(gram.shape, np.float32)
        projections_here, active_here, weights_here, amplitudes_here = (
            one[rows] for one in per_patch
        )
        kernels.accumulate(
            projections_here,
            gram.numpy(),
            active_here,
            weights_here,
            latents,
            products,
            amplitudes_here,
        )
        return latents, products

    latents, products = np.zeros(len(gram), np.float32), np.zeros(gram.shape, np.float32)
    for block_latents, block_products in _share_out(work, len(projections)):
        latents += block_latents
        products += block_products
    return torch.from_numpy(latents), torch.from_numpy(products), amplitudes


def _share_out(work: Callable[[slice], Result], count: int) -> Iterable[Result]:
    """Results of `work` on blocks of rows, in order."""
    blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(work, blocks))


@cache
def _keys(latents: int) -> NDArray[np.int64]:
    """A random number for each latent; a state's hash is the exclusive or of its latents'."""
    return np.random.default_rng(20221113).integers(-(2**62), 2**62, latents)
