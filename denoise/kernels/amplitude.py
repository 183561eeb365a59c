"""Search and posterior sums of the amplitude model, compiled: best-first search and <a>, <a a^T>.

Patches and W come divided by sigma; `gram` is G = W W^T, `projections` are c = W x, `log_odds` the
logit of pi. A state is a list of the latents that are on, filled up with their number H. The plain
twins are `vae/best_first.py` and `vae/amplitude_vae.py`, which explain the numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoise.kernels.choice import Implementation, implementation
from denoise.kernels.constants import latent_keys
from denoise.kernels.launching import launch, power_of_two
from denoise.kernels.loops import on_all_cores

# Larger systems of equations, models or sets do not fit into a GPU's registers; presets have 8,
# 512 and 16.
MOST_ACTIVE, MOST_LATENTS, MOST_STATES = 16, 4096, 128
# Patches that are one piece of work on a CPU; sums are taken piece by piece, in order.
PIECE = 512


class Problem(NamedTuple):
    """What all states are scored with.

    Attributes
    ----------
    projections, gram : (N, H) and (H, H) float
    log_odds : (H,) float
    """

    projections: Tensor
    gram: Tensor
    log_odds: Tensor

    def implementation(self, active: Tensor) -> Implementation:
        """The implementation that covers sets of states."""
        _, size, most_active = active.shape
        latents = len(self.log_odds)
        if size <= MOST_STATES and most_active <= MOST_ACTIVE and latents <= MOST_LATENTS:
            return implementation(self.projections, "numba", "triton")
        return implementation(self.projections, "numba")


class Extent(NamedTuple):
    """How far a search goes.

    Attributes
    ----------
    expansions : states of every patch that are expanded, one after the other
    children : best neighbours that an expanded state offers to the set
    reach : in nats; states further below the likeliest are not expanded
    """

    expansions: int
    children: int
    reach: float = math.inf


def explore(
    problem: Problem, active: Tensor, log_joints: Tensor, extent: Extent
) -> tuple[Tensor, Tensor] | None:
    """Score states and search on from them, as `best_first.explore`.

    Parameters
    ----------
    active : (N, S, K) int16, the states
    log_joints : (N, S) float, of which only -inf matters: it marks an empty place

    Returns
    -------
    active, log_joints : likeliest state first; log joints without what all states of a patch share.
        None if no compiled implementation covers the case
    """
    match problem.implementation(active):
        case "numba":
            return _explore_on_cpu(problem, active, log_joints, extent)
        case "triton":
            return _explore_on_gpu(problem, active, log_joints, extent)
    return None


def posterior_sums(
    problem: Problem, active: Tensor, log_joints: Tensor, *, amplitudes_only: bool = False
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Expectations under the truncated posterior; parameters are those of `explore`.

    Parameters
    ----------
    amplitudes_only : the first two sums may be left out

    Returns
    -------
    latents : (H,) float, sum over patches of <z>
    products : (H, H) float, sum over patches of <a a^T>
    amplitudes : (N, H) float, <a> of each patch
        None if no compiled implementation covers the case
    """
    match problem.implementation(active):
        case "numba":
            return _sums_on_cpu(problem, active, log_joints)
        case "triton":
            return _sums_on_gpu(problem, active, log_joints, amplitudes_only)
    return None


def _explore_on_cpu(
    problem: Problem, active: Tensor, log_joints: Tensor, extent: Extent
) -> tuple[Tensor, Tensor]:
    from denoise.kernels import amplitude_numba as loops

    absent = float(loops.ABSENT)
    active = active.clone(memory_format=torch.contiguous_format)
    scores = torch.zeros_like(log_joints).masked_fill_(log_joints.isneginf(), absent)
    projections, gram, log_odds = (one.numpy() for one in problem)
    keys = latent_keys(len(gram), active.device).numpy()

    def work(rows: slice) -> None:
        own_active, own_scores = active.numpy()[rows], scores.numpy()[rows]
        loops.explore(projections[rows], gram, log_odds, keys, own_active, own_scores, *extent)

    list(on_all_cores(work, _pieces(len(projections))))
    return active, torch.where(scores > absent, scores, -torch.inf)


def _explore_on_gpu(
    problem: Problem, active: Tensor, log_joints: Tensor, extent: Extent
) -> tuple[Tensor, Tensor]:
    from denoise.kernels import amplitude_triton

    active, scores = (
        one.clone(memory_format=torch.contiguous_format) for one in (active, log_joints)
    )
    latents = len(problem.log_odds)
    launch(
        amplitude_triton.explore,
        active.shape[:1],
        **problem._asdict(),
        **extent._asdict(),
        **_sizes(active, latents),
        keys=latent_keys(latents, active.device),
        active=active,
        scores=scores,
        BLOCK_H=power_of_two(latents),
    )
    return active, scores


def _sums_on_cpu(
    problem: Problem, active: Tensor, log_joints: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from denoise.kernels import amplitude_numba as loops

    projections, gram, _ = (one.numpy() for one in problem)
    weights, amplitudes = log_joints.softmax(1).numpy(), np.zeros_like(projections)

    def zeros() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.zeros(len(gram), np.float32), np.zeros(gram.shape, np.float32)

    def work(rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sums, states = zeros(), active.numpy()[rows]
        loops.accumulate(projections[rows], gram, states, weights[rows], *sums, amplitudes[rows])
        return sums

    latents, products = zeros()
    for some_latents, some_products in on_all_cores(work, _pieces(len(projections))):
        latents += some_latents
        products += some_products
    return torch.from_numpy(latents), torch.from_numpy(products), torch.from_numpy(amplitudes)


def _sums_on_gpu(
    problem: Problem, active: Tensor, log_joints: Tensor, amplitudes_only: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from denoise.kernels import amplitude_triton

    projections, gram, _ = problem
    active = active.contiguous()
    latents, products, amplitudes = (
        torch.zeros(shape, dtype=torch.int64, device=gram.device)
        for shape in (gram.shape[:1], gram.shape, projections.shape)
    )
    launch(
        amplitude_triton.accumulate,
        active.shape[:1],
        **_sizes(active, len(gram)),
        projections=projections,
        gram=gram,
        active=active,
        log_joints=log_joints.contiguous(),
        latent_sums=latents,
        products=products,
        amplitudes=amplitudes,
        AMPLITUDES_ONLY=amplitudes_only,
    )
    unit = 1 / amplitude_triton.FIXED_POINT.value
    sums = (latents, products, amplitudes)
    latents, products, amplitudes = ((one.double() * unit).to(gram.dtype) for one in sums)
    return latents, products, amplitudes


def _sizes(active: Tensor, latents: int) -> dict[str, int]:
    """H, S and K, and what kernels make of S and K."""
    _, size, most_active = active.shape
    return {
        "latents": latents,
        "size": size,
        "most_active": most_active,
        "BLOCK_S": power_of_two(size),
        "K": power_of_two(most_active),
    }


def _pieces(count: int) -> list[slice]:
    return [slice(start, start + PIECE) for start in range(0, count, PIECE)]
