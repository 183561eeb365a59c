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
Array = NDArray[np.float32]


class Problem(NamedTuple):
    """What all states are scored with.

    Attributes
    ----------
    projections, gram : (N, H) and (H, H) float
    log_odds : (H,) float
    observed : (N, D) float, 1 where a patch has a value and 0 elsewhere; None if all have all
    vectors : (H, D) float, W in units of sigma
    free_mean : whether the mean of what is observed is fitted
    """

    projections: Tensor
    gram: Tensor
    log_odds: Tensor
    observed: Tensor | None
    vectors: Tensor
    free_mean: bool

    def implementation(self, active: Tensor) -> Implementation:
        """The implementation that covers sets of states."""
        _, size, most_active = active.shape
        latents = len(self.log_odds)
        if self.observed is not None:
            return implementation(self.projections, "numba")
        if size <= MOST_STATES and most_active <= MOST_ACTIVE and latents <= MOST_LATENTS:
            return implementation(self.projections, "numba", "triton")
        return implementation(self.projections, "numba")


class Sums(NamedTuple):
    """Expectations under the truncated posterior.

    Attributes
    ----------
    latents : (H,) float, sum over patches of <z>
    products : (H, H) float, sum over patches of <a a^T>
    amplitudes : (N, H) float, <a> of each patch
    completion : (H, D) float, sum over patches with missing values of <a a^T> (W - P W), where P W
        is the part of W that the patch shows; None without such patches
    size : sum over patches of tr(G <a a^T>), G each patch's own W P W^T
    """

    latents: Tensor
    products: Tensor
    amplitudes: Tensor
    completion: Tensor | None = None
    size: float = 0.0


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
) -> Sums | None:
    """Expectations under the truncated posterior; None if no compiled loop covers the case.

    Parameters
    ----------
    problem, active, log_joints : as for `explore`
    amplitudes_only : all other sums may be left out
    """
    match problem.implementation(active):
        case "numba":
            return _sums_on_cpu(problem, active, log_joints)
        case "triton":
            return _sums_on_gpu(problem, active, log_joints, amplitudes_only)
    return None


def posterior_variances(
    problem: Problem, active: Tensor, log_joints: Tensor, means: Tensor
) -> Tensor | None:
    """Variances (N, D) of W^T a under the posterior; None if no compiled loop covers the case.

    Parameters
    ----------
    problem, active, log_joints : as for `explore`
    means : (N, D) float, <W^T a>, less its mean over the observed values if that is fitted
    """
    if problem.implementation(active) != "numba":
        return None
    from denoise.kernels.amplitude_variance_numba import spread

    weights = log_joints.softmax(1).numpy()
    directions, variances = problem.vectors.contiguous().numpy(), torch.empty_like(means)

    def work(rows: slice) -> None:
        states, own = active.numpy()[rows], (means.numpy()[rows], variances.numpy()[rows])
        spread(*_arrays(problem, rows), directions, states, weights[rows], *own)

    list(on_all_cores(work, _pieces(len(means))))
    return variances


def _explore_on_cpu(
    problem: Problem, active: Tensor, log_joints: Tensor, extent: Extent
) -> tuple[Tensor, Tensor]:
    from denoise.kernels import amplitude_numba as loops

    absent = float(loops.ABSENT)
    active = active.clone(memory_format=torch.contiguous_format)
    scores = torch.zeros_like(log_joints).masked_fill_(log_joints.isneginf(), absent)
    keys = latent_keys(len(problem.gram), active.device).numpy()

    def work(rows: slice) -> None:
        own_active, own_scores = active.numpy()[rows], scores.numpy()[rows]
        log_odds = problem.log_odds.numpy()
        loops.explore(*_arrays(problem, rows), log_odds, keys, own_active, own_scores, *extent)

    list(on_all_cores(work, _pieces(len(problem.projections))))
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
        projections=problem.projections,
        gram=problem.gram,
        log_odds=problem.log_odds,
        **extent._asdict(),
        **_sizes(active, latents),
        keys=latent_keys(latents, active.device),
        active=active,
        scores=scores,
        BLOCK_H=power_of_two(latents),
    )
    return active, scores


def _sums_on_cpu(problem: Problem, active: Tensor, log_joints: Tensor) -> Sums:
    from denoise.kernels.amplitude_sums_numba import accumulate

    count, latents = problem.projections.shape
    values = problem.vectors.shape[1] if problem.observed is not None else 0
    weights, amplitudes = log_joints.softmax(1).numpy(), np.zeros((count, latents), np.float32)
    shapes = ((latents,), (latents, latents), (latents, values))

    def work(rows: slice) -> tuple[float, list[Array]]:
        sums = [np.zeros(shape, np.float32) for shape in shapes]
        arrays, states = _arrays(problem, rows), active.numpy()[rows]
        size = accumulate(*arrays, states, weights[rows], *sums[:2], amplitudes[rows], sums[2])
        return size, sums

    totals, total_size = [np.zeros(shape, np.float32) for shape in shapes], 0.0
    for size, sums in on_all_cores(work, _pieces(count)):
        total_size += size
        for total, some in zip(totals, sums, strict=True):
            total += some
    latent_sums, products, completion = (torch.from_numpy(one) for one in totals)
    found = Sums(latent_sums, products, torch.from_numpy(amplitudes))
    if problem.observed is None:
        return found
    return found._replace(completion=completion, size=total_size)


def _arrays(problem: Problem, rows: slice) -> tuple[Array, Array, Array, Array, bool]:
    """What the loops take of a problem, for some patches."""
    vectors = np.ascontiguousarray(problem.vectors.numpy().T)
    observed = np.empty((0, len(vectors)), np.float32)
    if problem.observed is not None:
        observed = problem.observed.numpy()[rows]
    projections = problem.projections.numpy()[rows]
    return projections, problem.gram.numpy(), observed, vectors, problem.free_mean


def _sums_on_gpu(
    problem: Problem, active: Tensor, log_joints: Tensor, amplitudes_only: bool
) -> Sums:
    from denoise.kernels import amplitude_triton

    projections, gram = problem.projections, problem.gram
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
    return Sums(latents, products, amplitudes)


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
