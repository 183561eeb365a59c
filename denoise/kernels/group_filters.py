"""Filters groups of similar patches, from both sides.

The patches of a group, without their mean, are the rows of a matrix: X (M, D) of the pilot, Y of
the data. With A = (XᵀX + d I)⁻¹, the noise is shrunk

- across patches, X A Xᵀ Y: each row becomes a linear combination of the rows, whose weights have
  the least expected error for the pilot and noise of variance d / D (NL-Ridge: Herbreteau,
  Kervrann, J. Math. Imaging and Vision 2022);
- within patches, Y (XᵀX) A: each row is filtered by the Gaussian whose covariance is that of the
  pilot's patches, for noise of variance d / M (NL-Bayes: Lebrun, Buades, Morel, SIAM J. Imaging
  Sciences 2013).

Both err differently; the estimate is the mean of the two, and one inverse serves them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.kernels.choice import Implementation, implementation
from denoise.kernels.launching import WARPS, launch, power_of_two
from denoise.kernels.loops import on_all_cores

# A ridge below this share of the pilot's largest square sum is lost in float32; so are filters of
# values that are MOST_SIGMAS apart, which want float64.
LEAST_RIDGE, MOST_SIGMAS = 1e-6, 100.0
# What is added to a filter's noise gain, so that no weight is infinite.
LEAST_GAIN = 0.02
# Patches of a group handled at a time on a GPU; matrix products want 16 at least.
PATCHES_BLOCK, LEAST_BLOCK = 32, 16
# Larger patches do not fit into a GPU's registers.
MOST_VALUES = 64


def filter_groups(
    data: Tensor, pilot: Tensor, ridge: Tensor, *, across_patches: bool = True
) -> tuple[Tensor, Tensor]:
    """Estimates of the patches of some groups.

    Parameters
    ----------
    data, pilot : (B, M, D) float, B groups of M patches
    ridge : (B,) float, d; D times the variance of the noise in the data, or M times without
        `across_patches`
    across_patches : False filters within patches only, around the mean of the pilot's patches: it
        has less noise than that of the data, as long as there is much

    Returns
    -------
    estimates : (B, M, D) float
    weights : (B, D) float, up to 1; the less noise passes the filter within patches, the more
    """
    compiled: tuple[Implementation, ...] = ("triton",) if data.shape[2] <= MOST_VALUES else ()
    if implementation(data, *compiled) == "triton":
        return _filter_on_gpu(data, pilot, ridge, across_patches)
    pilot_mean = pilot.mean(1, keepdim=True)
    mean = data.mean(1, keepdim=True) if across_patches else pilot_mean
    noisy, pilot = data - mean, pilot - pilot_mean
    gram = pilot.mT @ pilot
    least = LEAST_RIDGE * gram.diagonal(dim1=-2, dim2=-1).amax(-1)
    ridge = torch.maximum(ridge, least)[:, None, None]
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    # `solve` would wait for a GPU to check that there is a solution.
    inverse = torch.linalg.solve_ex(gram + ridge * eye, eye.expand_as(gram)).result
    within = eye - ridge * inverse
    estimates = noisy @ within
    if across_patches:
        estimates = (pilot @ (inverse @ (pilot.mT @ noisy)) + estimates) / 2
    return mean + estimates, LEAST_GAIN / (LEAST_GAIN + within.square().sum(1))


def filter_on_cpu(
    data: Tensor,
    pilot: Tensor,
    groups: Tensor,
    ridge: Tensor,
    patch_size: int,
    *,
    across_patches: bool = True,
) -> Tensor:
    """Filter all groups of an image by compiled loops, and average what they say of each pixel.

    Parameters
    ----------
    data, pilot : (height, width) float32 or float64
    groups : (G, M) int64, numbers of patches, as `match_patches` finds them
    ridge : (G,) float of the same type

    Returns
    -------
    (height, width) float. One piece of work are the groups of a row of patches, whose sums are made
    in the type of the data: rounding depends neither on threads nor on how wide the image is.
    """
    from denoise.kernels.group_filters_numba import filter_band

    images = data.contiguous().numpy(), pilot.contiguous().numpy()
    columns = data.shape[1] - patch_size + 1

    def filter_some(some: tuple[Tensor, Tensor]) -> tuple[int, Tensor]:
        numbers, ridges = some
        top, bottom = int(numbers.min()) // columns, int(numbers.max()) // columns + patch_size
        sums = torch.zeros(2, bottom - top, data.shape[1], dtype=data.dtype)
        filter_band(
            *images,
            numbers.numpy(),
            ridges.numpy(),
            patch_size,
            across_patches,
            LEAST_RIDGE,
            LEAST_GAIN,
            top,
            *sums.numpy(),
        )
        return top, sums

    sums = torch.zeros(2, *data.shape, dtype=torch.float64)
    rows = torch.unique_consecutive(groups[:, 0] // columns, return_counts=True)[1].tolist()
    bands = zip(groups.split(rows), ridge.split(rows), strict=True)
    for top, band in on_all_cores(filter_some, bands):
        sums[:, top : top + band.shape[1]] += band
    return (sums[0] / sums[1]).to(data.dtype)


def _filter_on_gpu(
    data: Tensor, pilot: Tensor, ridge: Tensor, across_patches: bool
) -> tuple[Tensor, Tensor]:
    from denoise.kernels import group_filters_triton

    count, size, values = data.shape
    estimates, weights = torch.empty_like(data), data.new_empty(count, values)
    launch(
        group_filters_triton.filter_group,
        (count,),
        warps=2 * WARPS,
        data=data.contiguous(),
        pilot=pilot.contiguous(),
        ridge=ridge.contiguous(),
        estimates=estimates,
        weights=weights,
        group_size=size,
        values=values,
        least_ridge=LEAST_RIDGE,
        least_gain=LEAST_GAIN,
        ACROSS=across_patches,
        BLOCK_M=PATCHES_BLOCK,
        K=max(power_of_two(values), LEAST_BLOCK),
    )
    return estimates, weights
