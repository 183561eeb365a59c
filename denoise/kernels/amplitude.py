"""Search and posterior sums of the amplitude model, compiled: best-first search and <a>, <a a^T>.

Patches and W come divided by sigma; `gram` is G = W W^T, `projections` are c = W x, `log_odds` the
logit of pi. A state is a list of the latents that are on, filled up with their number H. The plain
twins are `vae/best_first.py` and `vae/amplitude_vae.py`, which explain the numbers.
"""

from __future__ import annotations

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


def explore(
    projections: Tensor,
    gram: Tensor,
    log_odds: Tensor,
    active: Tensor,
    log_joints: Tensor,
    *,
    expansions: int,
    children: int,
    reach: float,
) -> tuple[Tensor, Tensor] | None:
    """Score states and search on from them, as `best_first.explore`.

    Parameters
    ----------
    projections, gram, log_odds : (N, H), (H, H) and (H,) float
    active : (N, S, K) int16, the states
    log_joints : (N, S) float, of which only -inf matters: it marks an empty place
    expansions : states of every patch that are expanded, one after the other
    children : best neighbours that an expanded state offers to the set
    reach : in nats; states further below the likeliest are not expanded

    Returns
    -------
    active, log_joints : likeliest state first; log joints without what all states of a patch share.
        None if no compiled implementation covers the case
    """
    arguments = (projections, gram, log_odds, active, log_joints, expansions, children, reach)
    match implementation(projections, *_compiled(active, len(log_odds))):
        case "numba":
            return _explore_on_cpu(*arguments)
        case "triton":
            return _explore_on_gpu(*arguments)
    return None


def posterior_sums(
    projections: Tensor,
    gram: Tensor,
    active: Tensor,
    log_joints: Tensor,
    *,
    amplitudes_only: bool = False,
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
    match implementation(projections, *_compiled(active, len(gram))):
        case "numba":
            return _sums_on_cpu(projections, gram, active, log_joints)
        case "triton":
            return _sums_on_gpu(projections, gram, active, log_joints, amplitudes_only)
    return None


def _compiled(active: Tensor, latents: int) -> tuple[Implementation, ...]:
    _, size, most_active = active.shape
    if size <= MOST_STATES and most_active <= MOST_ACTIVE and latents <= MOST_LATENTS:
        return "numba", "triton"
    return ("numba",)


def _explore_on_cpu(
    projections: Tensor,
    gram: Tensor,
    log_odds: Tensor,
    active: Tensor,
    log_joints: Tensor,
    expansions: int,
    children: int,
    reach: float,
) -> tuple[Tensor, Tensor]:
    from denoise.kernels import amplitude_numba as loops

    absent = float(loops.ABSENT)
    active = active.clone(memory_format=torch.contiguous_format)
    scores = torch.zeros_like(log_joints).masked_fill_(log_joints.isneginf(), absent)
    shared = (gram.numpy(), log_odds.numpy(), latent_keys(len(gram), gram.device).numpy())
    per_patch = [one.numpy() for one in (projections, active, scores)]

    def work(rows: slice) -> None:
        own_projections, own_active, own_scores = (one[rows] for one in per_patch)
        loops.explore(own_projections, *shared, own_active, own_scores, expansions, children, reach)

    list(on_all_cores(work, _pieces(len(projections))))
    return active, torch.where(scores > absent, scores, -torch.inf)


def _explore_on_gpu(
    projections: Tensor,
    gram: Tensor,
    log_odds: Tensor,
    active: Tensor,
    log_joints: Tensor,
    expansions: int,
    children: int,
    reach: float,
) -> tuple[Tensor, Tensor]:
    from denoise.kernels import amplitude_triton

    active, scores = (
        one.clone(memory_format=torch.contiguous_format) for one in (active, log_joints)
    )
    count, size, most_active = active.shape
    latents = len(log_odds)
    launch(
        amplitude_triton.explore,
        (count,),
        projections=projections,
        gram=gram,
        log_odds=log_odds,
        keys=latent_keys(latents, gram.device),
        active=active,
        scores=scores,
        latents=latents,
        size=size,
        most_active=most_active,
        expansions=expansions,
        children=children,
        reach=reach,
        BLOCK_S=power_of_two(size),
        K=power_of_two(most_active),
        BLOCK_H=power_of_two(latents),
    )
    return active, scores


def _sums_on_cpu(
    projections: Tensor, gram: Tensor, active: Tensor, log_joints: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from denoise.kernels import amplitude_numba as loops

    amplitudes = torch.zeros_like(projections)
    per_patch = [one.numpy() for one in (active, log_joints.softmax(1), amplitudes)]

    def zeros() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.zeros(len(gram), np.float32), np.zeros(gram.shape, np.float32)

    def work(rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        latents, products = zeros()
        own_active, own_weights, own_amplitudes = (one[rows] for one in per_patch)
        own_projections = projections.numpy()[rows]
        loops.accumulate(
            own_projections, gram.numpy(), own_active, own_weights, latents, products,
            own_amplitudes,
        )  # fmt: skip
        return latents, products

    latents, products = zeros()
    for some_latents, some_products in on_all_cores(work, _pieces(len(projections))):
        latents += some_latents
        products += some_products
    return torch.from_numpy(latents), torch.from_numpy(products), amplitudes


def _sums_on_gpu(
    projections: Tensor, gram: Tensor, active: Tensor, log_joints: Tensor, amplitudes_only: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from denoise.kernels import amplitude_triton

    active = active.contiguous()
    count, size, most_active = active.shape
    latents, products, amplitudes = (
        torch.zeros(shape, dtype=torch.int64, device=gram.device)
        for shape in (gram.shape[:1], gram.shape, projections.shape)
    )
    launch(
        amplitude_triton.accumulate,
        (count,),
        projections=projections,
        gram=gram,
        active=active,
        log_joints=log_joints.contiguous(),
        latent_sums=latents,
        products=products,
        amplitudes=amplitudes,
        latents=len(gram),
        size=size,
        most_active=most_active,
        AMPLITUDES_ONLY=amplitudes_only,
        BLOCK_S=power_of_two(size),
        K=power_of_two(most_active),
    )
    unit = 1 / amplitude_triton.FIXED_POINT.value
    sums = (latents, products, amplitudes)
    latents, products, amplitudes = ((one.double() * unit).to(gram.dtype) for one in sums)
    return latents, products, amplitudes


def _pieces(count: int) -> list[slice]:
    return [slice(start, start + PIECE) for start in range(0, count, PIECE)]
