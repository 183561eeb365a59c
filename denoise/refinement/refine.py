"""Non-local refinement: similar patches of the image correct what one global model missed.

Similar patches form groups, which are filtered with the groups of an estimate, the pilot, as a
guide (kernels/group_filters.py). The result is the next pilot. After one or two passes over the
data, passes are a chain: the data that are filtered next are a mean of themselves and the result,
with less and less noise, so that early errors of the pilot are forgotten (LIChI: Herbreteau,
Kervrann, arXiv 2212.00422). Groups are then found in those data, whose errors are not the pilot's.
Chains with patches of several sizes are averaged. Their mean has the covariances that the last
passes over the data want, which take away noise that the chains leave in flat areas.

Colours are rotated to brightness and opponent colours. Groups are found in the brightness; each
colour is then filtered on its own. Opponent colours hold few details, so that not every pass of the
chain filters them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from denoise.kernels.group_filters import MOST_SIGMAS
from denoise.noise.colours import opponent_axes
from denoise.options import RefinementOptions
from denoise.refinement.groups import similar_patches
from denoise.refinement.passes import filter_image, group_means, noise_left, spread

# Less noise than this is not told from none.
LEAST_NOISE = 1e-3


@torch.no_grad()
def refine_image(
    noisy: Tensor,
    pilot: Tensor,
    options: RefinementOptions,
    *,
    variance: Tensor | None = None,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Improve `pilot` with groups of similar patches of `noisy`.

    Parameters
    ----------
    noisy : (height, width, C) float, NaN where missing; white noise
    pilot : (height, width, C) float, a first estimate without gaps
    variance : (height, width) float, of the noise; None for 1 everywhere
    on_pass : called with the number of finished passes

    Returns
    -------
    (height, width, C) float. Where values of the pilot are more than MOST_SIGMAS apart, passes are
    made in the type of `noisy`; else in float32
    """
    dtype = noisy.dtype if float(pilot.max() - pilot.min()) > MOST_SIGMAS else torch.float32
    noisy, pilot = noisy.to(dtype), pilot.to(dtype)
    height, width, channels = noisy.shape
    variance = torch.ones_like(noisy[..., 0]) if variance is None else variance.to(dtype)
    rotation = torch.as_tensor(opponent_axes(channels)).to(noisy)
    # A colour pixel counts as missing where one of its channels is. The pilot stands in for it.
    start = (pilot @ rotation.T).movedim(2, 0).contiguous()
    given = (noisy @ rotation.T).movedim(2, 0)
    given = torch.where(given.isnan(), start, given)
    refined, finished = torch.zeros_like(start), 0

    def on_step(done: int) -> None:
        on_pass(finished + done)

    sizes = [min(size, height, width) for size in options.patch_sizes]
    for size in sizes:
        refined += _refine(given, start, variance, size, options, on_step)
        finished += options.passes
    refined /= len(sizes)
    if options.last_patch_sizes:
        refined = _last(given, refined, variance, options, on_step)
    result: Tensor = refined.movedim(0, 2) @ rotation
    return result


def pass_count(options: RefinementOptions) -> int:
    """Passes that `refine_image` makes, each of them over all colours."""
    return len(options.patch_sizes) * options.passes + len(options.last_patch_sizes)


def _refine(
    noisy: Tensor,
    pilot: Tensor,
    variance: Tensor,
    size: int,
    options: RefinementOptions,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Refine images (C, height, width) with patches of one size."""
    for done in range(1, options.wiener_passes + 1):
        pilot = _filtered_within(noisy, pilot, variance, size, options)
        on_pass(done)
    before = options.wiener_passes
    return _chain(noisy, pilot, variance, size, options, lambda done: on_pass(before + done))


def _last(
    noisy: Tensor,
    guide: Tensor,
    variance: Tensor,
    options: RefinementOptions,
    on_pass: Callable[[int], None],
) -> Tensor:
    """The mean of one pass over the data for each of the last patch sizes."""
    total = torch.zeros_like(guide)
    for done, size in enumerate(options.last_patch_sizes, start=1):
        total += _filtered_within(noisy, guide, variance, min(size, *guide.shape[1:]), options)
        on_pass(done)
    return total / len(options.last_patch_sizes)


def _filtered_within(
    noisy: Tensor, pilot: Tensor, variance: Tensor, size: int, options: RefinementOptions
) -> Tensor:
    """One pass over the data themselves, within patches."""
    groups = similar_patches(pilot[0], size, options.wiener_group, options)
    ridge = groups.shape[1] * group_means(variance, groups, size)
    channels = [
        filter_image(channel, guide, groups, ridge, size, across_patches=False)
        for channel, guide in zip(noisy, pilot, strict=True)
    ]
    return torch.stack(channels)


def _chain(
    noisy: Tensor,
    pilot: Tensor,
    variance: Tensor,
    size: int,
    options: RefinementOptions,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Passes from both sides, over data with less and less noise."""
    data, estimate = noisy.clone(), pilot.clone()
    groups = similar_patches(pilot[0], size, options.group_size, options)
    for step, kept in enumerate(options.noise_kept):
        if step > 0 and step % options.passes_per_match == 0:
            groups = similar_patches(data[0], size, options.group_size, options)
        for colour in range(len(noisy) if _filters_colours(step, options) else 1):
            estimate[colour], left = _filtered(
                *(noisy[colour], data[colour], estimate[colour], variance, groups),
                *(max(kept, LEAST_NOISE), size),
            )
            data[colour] = estimate[colour].lerp(data[colour], kept / left)
        on_pass(step + 1)
    return estimate


def _filters_colours(step: int, options: RefinementOptions) -> bool:
    """Whether a pass of the chain filters opponent colours; the last one does."""
    left = len(options.noise_kept) - 1 - step
    return left % options.passes_per_colour_pass == 0


def _filtered(
    noisy: Tensor,
    data: Tensor,
    pilot: Tensor,
    variance: Tensor,
    groups: Tensor,
    least: float,
    size: int,
) -> tuple[Tensor, Tensor]:
    """One pass over an image (height, width), and the share of noise that it met at every pixel."""
    left = noise_left(noisy, data, variance, groups, size).clamp(min=least)
    ridge = size**2 * left.square() * group_means(variance, groups, size)
    return filter_image(data, pilot, groups, ridge, size), spread(left, groups, data, size)
