"""Non-local refinement: similar patches of the image correct what one global model missed.

Similar patches, found in the result of the VAE (the pilot), form groups. Two
filters act on them:

- `wiener_filter` (after NL-Bayes: Lebrun, Buades, Morel, SIAM J. Imaging Sciences 2013):
  the pilot patches of a group give the mean and covariance of a local Gaussian model.
- `low_rank_filter` (after WNNM: Gu, Zhang, Zuo, Feng, CVPR 2014): the noisy patches of
  a group, a nearly low-rank matrix, lose their small singular values.

The second one is strong but forgets where it started; so every pass starts from a
mean of its own last result and the first filter's (the anchor), plus a share of the
residual. Colours are rotated to brightness and opponent colours, which are refined one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from denoise.groups import match_patches
from denoise.options import RefinementOptions
from denoise.patches import PatchGrid
from denoise.threads import on_all_cores

GROUPS_AT_A_TIME = 512
# Weaker noise than this share of the signal's variance is lost in float32.
LEAST_NOISE_SHARE = 1e-6


@torch.no_grad()
def refine_image(
    noisy: Tensor,
    pilot: Tensor,
    sigma: float,
    options: RefinementOptions,
    *,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Improve `pilot` with groups of similar patches of `noisy`.

    Parameters
    ----------
    noisy : (height, width, C) float, NaN where missing
    pilot : (height, width, C) float, a first estimate without gaps
    sigma : standard deviation of the noise
    on_pass : called with the number of finished passes

    Returns
    -------
    (height, width, C) float
    """
    height, width, channels = noisy.shape
    rotation = opponent_colours(channels).to(noisy)
    # A colour pixel counts as missing where one of its channels is.
    data, start = noisy @ rotation.T, pilot @ rotation.T
    sizes = [min(size, height, width) for size in options.patch_sizes]
    refined, finished = torch.zeros_like(start), 0

    def tell(done: int) -> None:
        on_pass(finished + done)

    for channel, size in product(range(channels), sizes):
        one = slice(channel, channel + 1)
        refined[..., one] += _refine_channel(
            data[..., one], start[..., one], sigma, size, options, tell
        )
        finished += options.passes
    result: Tensor = refined / len(sizes) @ rotation
    return result


def pass_count(options: RefinementOptions, channels: int) -> int:
    """Passes that `refine_image` makes."""
    return channels * len(options.patch_sizes) * options.passes


def opponent_colours(channels: int) -> Tensor:
    """Orthonormal axes of colour space, brightness first: (C, C).

    The discrete cosine transform over channels; for RGB that is R+G+B, R-B and R-2G+B. Noise
    stays white, and each axis can be filtered on its own.
    """
    places = torch.arange(channels, dtype=torch.float64)
    rows = torch.cos(math.pi / channels * places[:, None] * (places + 0.5))
    axes: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return axes


def _refine_channel(
    noisy: Tensor,
    pilot: Tensor,
    sigma: float,
    size: int,
    options: RefinementOptions,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Refine an image (height, width, 1) with patches of one size."""
    grid = PatchGrid((noisy.shape[0], noisy.shape[1], noisy.shape[2]), size, noisy.device)
    estimate, done = pilot, 0
    for number in range(options.rounds):
        boost = options.boost / (number + 1)
        anchor = estimate = _wiener_step(noisy, estimate, sigma, boost, grid, options)
        on_pass(done := done + 1)
        for step, feedback in enumerate(options.feedback):
            if step % 2 == 0:
                group_size = max(options.low_rank_group - 5 * step, min(options.low_rank_group, 40))
                groups = _match(estimate, size, group_size, options)
            if step > 0:
                estimate = estimate.lerp(anchor, options.anchoring)
            estimate = _low_rank_step(noisy, estimate, sigma, feedback, grid, groups, options)
            on_pass(done := done + 1)
    if not options.feedback:
        return estimate
    # The two filters err differently.
    boost = options.boost / (options.rounds + 1)
    other = _wiener_step(noisy, estimate, sigma, boost, grid, options)
    on_pass(done + 1)
    return (estimate + other) / 2


def _wiener_step(
    noisy: Tensor,
    pilot: Tensor,
    sigma: float,
    boost: float,
    grid: PatchGrid,
    options: RefinementOptions,
) -> Tensor:
    """Filter all groups with the local Gaussian models of the pilot, and merge."""
    groups = _match(pilot, grid.patch_size, options.wiener_group, options)
    observed = _filled(noisy, pilot)

    def filter_some(chosen: Tensor) -> tuple[Tensor, Tensor]:
        index = groups[chosen]
        patches, pilots = _extract(observed, grid, index), _extract(pilot, grid, index)
        return wiener_filter(patches, pilots, sigma**2, boost=boost), patches.new_ones(len(index))

    return _filter_groups(grid, groups, filter_some)


def _low_rank_step(
    noisy: Tensor,
    estimate: Tensor,
    sigma: float,
    feedback: float,
    grid: PatchGrid,
    groups: Tensor,
    options: RefinementOptions,
) -> Tensor:
    """Put a share of the residual back, shrink the singular values of all groups, and merge."""
    observed = _filled(noisy, estimate)
    remaining = estimate.lerp(observed, feedback)
    noise = _remaining_noise(observed - remaining, sigma, grid, groups[:, 0])
    if feedback < 1:
        noise = options.noise_share * noise

    def filter_some(chosen: Tensor) -> tuple[Tensor, Tensor]:
        return low_rank_filter(_extract(remaining, grid, groups[chosen]), noise[chosen])

    return _filter_groups(grid, groups, filter_some)


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
        weights = torch.linalg.solve(_with_noise(covariance, noise_variance), covariance)
    else:
        gram = centred @ centred.mT  # (B, M, M)
        weights = torch.linalg.solve(_with_noise(gram, noise_variance), centred)
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
    mean = noisy.mean(1, keepdim=True)
    centred = noisy - mean
    tall = centred.shape[1] > centred.shape[2]
    gram = centred.mT @ centred if tall else centred @ centred.mT
    squares, vectors = torch.linalg.eigh(gram)
    squares = squares.clamp(min=1e-12)[:, None]  # (B, 1, min(M, D))
    threshold = 8 * math.sqrt(2 * noisy.shape[1]) * noise.square()[:, None, None]
    kept = squares > threshold
    factors = 0.5 + 0.5 * (1 - threshold / squares).clamp(min=0).sqrt()
    factors = torch.where(kept, factors, 0)
    shrunk: Tensor
    if tall:
        shrunk = ((centred @ vectors) * factors) @ vectors.mT
    else:
        shrunk = (vectors * factors) @ (vectors.mT @ centred)
    return mean + shrunk, 1 / (1 + factors.square().sum((1, 2)))


def _remaining_noise(residual: Tensor, sigma: float, grid: PatchGrid, index: Tensor) -> Tensor:
    """Noise level left in each reference patch once `residual` has been taken out: (G,)."""
    removed = [_extract(residual, grid, some).square().mean(1) for some in index.split(65_536)]
    return (sigma**2 - torch.cat(removed)).abs().sqrt()


def _filled(noisy: Tensor, estimate: Tensor) -> Tensor:
    """The data, with the present estimate where they are missing."""
    return torch.where(noisy.isnan(), estimate, noisy)


def _match(image: Tensor, patch_size: int, group_size: int, options: RefinementOptions) -> Tensor:
    return match_patches(
        image,
        patch_size,
        group_size=group_size,
        window=options.window,
        stride=min(options.stride, patch_size),
    )


def _filter_groups(
    grid: PatchGrid, groups: Tensor, filter_some: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> Tensor:
    """Average the estimates (B, M, D) with weights (B,), some groups at a time, into an image."""
    merger = grid.merger()
    chunks = torch.arange(len(groups), device=groups.device).split(GROUPS_AT_A_TIME)
    for chosen, (estimates, weights) in zip(chunks, on_all_cores(filter_some, chunks), strict=True):
        weights = weights[:, None].expand(estimates.shape[:2])
        merger.add(estimates.flatten(0, 1), groups[chosen].flatten(), weights.flatten())
    return merger.image().to(torch.float32)


def _extract(image: Tensor, grid: PatchGrid, index: Tensor) -> Tensor:
    """Patches number `index` (...): (..., D)."""
    return grid.extract(image, index.flatten()).reshape(*index.shape, -1)


def _with_noise(matrices: Tensor, noise_variance: float) -> Tensor:
    """Matrices (B, K, K) with the noise on their diagonal, or with what keeps them solvable."""
    largest = matrices.diagonal(dim1=-2, dim2=-1).amax(-1)
    added = (LEAST_NOISE_SHARE * largest).clamp(min=noise_variance)[:, None, None]
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    return matrices + added * eye
