"""Non-local refinement: similar patches of the image correct what one global model missed.

Similar patches, found in the result of the VAE (the pilot), form groups, which a Wiener filter
and a low-rank filter clean (passes.py).

The second filter is strong but forgets where it started; so every pass starts from a
mean of its own last result and the first filter's (the anchor), plus a share of the
residual. Colours are rotated to brightness and opponent colours, which are refined one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from denoise.options import RefinementOptions
from denoise.patches import PatchGrid
from denoise.refinement.passes import low_rank_pass, match, wiener_pass


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

    def on_channel_pass(done: int) -> None:
        on_pass(finished + done)

    for channel, size in product(range(channels), sizes):
        one = slice(channel, channel + 1)
        refined[..., one] += _refine_channel(
            data[..., one], start[..., one], sigma, size, options, on_channel_pass
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
    grid = PatchGrid.of(noisy, size)
    estimate, done = pilot, 0
    for number in range(options.rounds):
        boost = options.boost / (number + 1)
        anchor = estimate = wiener_pass(noisy, estimate, sigma, boost, grid, options)
        on_pass(done := done + 1)
        for step, feedback in enumerate(options.feedback):
            if step % 2 == 0:
                group_size = max(options.low_rank_group - 5 * step, min(options.low_rank_group, 40))
                groups = match(estimate, size, group_size, options)
            if step > 0:
                estimate = estimate.lerp(anchor, options.anchoring)
            estimate = low_rank_pass(noisy, estimate, sigma, feedback, grid, groups, options)
            on_pass(done := done + 1)
    if not options.feedback:
        return estimate
    # The two filters err differently.
    boost = options.boost / (options.rounds + 1)
    other = wiener_pass(noisy, estimate, sigma, boost, grid, options)
    on_pass(done + 1)
    return (estimate + other) / 2
