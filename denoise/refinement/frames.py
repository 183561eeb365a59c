"""Frames of a series help each other: each is averaged with what the others show of it.

Every frame is refined by itself first. Then the blocks of a frame are found again in the frames
before and after it, and averaged with weights that have the least expected error: equal ones where
nothing has changed, next to none for what is found nowhere. The mean has less noise, where the
others help, and is refined once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from denoise.options import RefinementOptions
from denoise.patches import PatchGrid, PatchMerger
from denoise.refinement.blocks import find_blocks
from denoise.refinement.refine import refine_image

Item = TypeVar("Item")

# Side of the blocks, in pixels.
BLOCK_SIZE = 16
# Errors of a block weigh this many times as much as noise, most of which is yet to be removed.
CAUTION = 10.0
# Blocks differ if they do so by this many standard deviations more than noise does in the mean.
SIGNIFICANT = 2.0
# A frame in which fewer blocks are found again shows another scene.
LEAST_FOUND = 0.5


class Frame(NamedTuple):
    """A noisy frame and an estimate of it, (height, width, C) float, in units of the noise."""

    noisy: Tensor
    estimate: Tensor


class Fused(NamedTuple):
    """A frame that is the mean of several, and the variance of its noise (height, width)."""

    noisy: Tensor
    estimate: Tensor
    variance: Tensor


@torch.no_grad()
def refine_frames(
    frames: Iterable[Frame], radius: int, options: RefinementOptions
) -> Iterator[Tensor]:
    """Refine the frames of a series, each with the help of those around it.

    It takes some three times as long as `refine_image` for each frame (with a radius of 2), and
    holds 2 · radius + 1 frames. A frame that looks like no other around it comes out as from
    `refine_image`.

    Parameters
    ----------
    frames : all of one size; noisy ones, NaN where missing, with white noise of standard deviation
        1, and pilots without gaps. They are taken as they are needed
    radius : how many frames before and after a frame help it, 0 for none

    Yields
    ------
    (height, width, C) float, as from `refine_image`, one for each frame and in their order
    """

    def alone(frame: Frame) -> Frame:
        refined = refine_image(*frame, options, on_pass=lambda done: None)
        noisy = frame.noisy.to(refined.dtype)
        return Frame(torch.where(noisy.isnan(), refined, noisy), refined)

    for near, at in neighbourhoods(map(alone, frames), radius):
        fused = fuse(near, at)
        if fused is None:
            yield near[at].estimate
        else:
            yield refine_image(
                fused.noisy,
                fused.estimate,
                options,
                variance=fused.variance,
                on_pass=lambda done: None,
            )


def neighbourhoods(items: Iterable[Item], radius: int) -> Iterator[tuple[list[Item], int]]:
    """Each item among those up to `radius` before and after it, and its place among them."""
    coming = iter(items)
    held, at = deque(islice(coming, radius + 1)), 0
    while at < len(held):
        yield list(held), at
        if at == radius:
            held.popleft()
        else:
            at += 1
        held.extend(islice(coming, 1))


def fuse(frames: Sequence[Frame], at: int) -> Fused | None:
    """The weighted mean of a frame and of what the others show of it; None if it is alone.

    Parameters
    ----------
    frames : without gaps
    at : the number of the frame that is wanted
    """
    estimate = frames[at].estimate
    grid = PatchGrid.of(estimate, min(BLOCK_SIZE, *estimate.shape[:2]))
    places = find_blocks([frame.estimate.movedim(2, 0) for frame in frames], at, grid.patch_size)
    noisy, estimates = (
        torch.stack([grid.extract(*one) for one in zip(images, places, strict=True)], 1)
        for images in zip(*frames, strict=True)
    )
    removed = (frames[at].noisy - estimate).square().mean()
    cost = CAUTION * mismatch(noisy, estimates, at, 1 - removed.sqrt(), estimate.shape[2])
    found = (cost.diagonal(dim1=1, dim2=2) < 1).float().mean(0) >= LEAST_FOUND
    if found.sum() == 1:
        return None
    cost, noisy, estimates = cost[:, found][:, :, found], noisy[:, found], estimates[:, found]
    eye = torch.eye(cost.shape[1], dtype=cost.dtype, device=cost.device)
    weights = torch.linalg.solve_ex(cost + eye, torch.ones_like(cost[:, :, :1])).result
    weights = weights / weights.sum(1, keepdim=True)

    def merged(values: Tensor, like: Tensor) -> Tensor:
        merger = PatchMerger(PatchGrid.of(like, grid.patch_size), like=like)
        merger.add(values, places[at], torch.ones_like(weights[:, 0, 0]))
        return merger.image().to(like)

    variances = weights.square().sum(1).expand(-1, grid.patch_size**2)
    return Fused(
        noisy=merged((weights * noisy).sum(1), estimate),
        estimate=merged((weights * estimates).sum(1), estimate),
        variance=merged(variances, torch.ones_like(estimate[..., :1]))[..., 0],
    )


def mismatch(
    noisy: Tensor, estimates: Tensor, at: int, noise_left: Tensor, channels: int
) -> Tensor:
    """By how much blocks of other frames differ from those of one frame, beside noise.

    Differences of estimates say so, less those that their own noise explains, but for differences
    of brightness. Where noisy blocks differ by more than chance, so do their estimates.

    Parameters
    ----------
    noisy, estimates : (N, F, D) float, blocks of F frames
    at : the number of the one frame
    noise_left : variance of the noise of the estimates
    channels : the last of the axes that make D

    Returns
    -------
    (N, F, F) float, per pixel; errors of two frames may be alike
    """
    pixels = noisy.shape[2] // channels
    # A difference of noise, per pixel: its mean, and as much as chance allows.
    chance = 2 * channels * (1 + SIGNIFICANT * (2 / noisy.shape[2]) ** 0.5)
    difference = (noisy - noisy[:, at : at + 1]).square().sum(2) / pixels
    errors = estimates - estimates[:, at : at + 1]
    errors = errors.unflatten(2, (pixels, channels))
    brightness = errors.mean(2)
    errors = (errors - brightness[:, :, None]).flatten(2)
    squares = errors.square().sum(2) / pixels
    beyond = torch.maximum(squares - chance * noise_left.clamp(min=0), difference - chance)
    beyond[:, at] = 0
    scale = (beyond.clamp(min=0) / squares.clamp(min=torch.finfo(squares.dtype).tiny)).sqrt()
    errors = errors * scale[:, :, None]
    products: Tensor = errors @ errors.mT / pixels + brightness @ brightness.mT
    return products
