"""Missing pixels: filled in from groups of similar patches, in turn with the pixels that are known.

The image is filtered as if the estimates of its missing pixels were data with noise; then known
pixels take their values again (iterative denoising and backward projections: Tirer, Giryes,
arXiv 1710.06647, with these filters). The noise that is assumed falls from pass to pass, the last
pass is the guide of the next one, and estimates move twice as far as the filters say.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from denoise.kernels.group_filters import MOST_SIGMAS
from denoise.noise.colours import opponent_axes
from denoise.options import RefinementOptions
from denoise.refinement.groups import similar_patches
from denoise.refinement.passes import filter_image

# The noise that is assumed first, as a share of the range of the image, is this over the share of
# the pixels that are known near holes; at most MOST_MISSING of them count as missing. From the
# first pass to the last one it falls to FALL.
FIRST, FALL, MOST_MISSING = 5 / 255, 0.1, 0.9
# The first noise is at least this many times the noise that there is, and the last one at least it.
LEAST_TIMES = 1.6
# Side of the patches: the smaller, the less of the known pixels a group sees.
PATCH_SIZE = 8


def near_holes(image: Tensor) -> Tensor:
    """Of each patch, the share of its pixels that is missing: (rows, columns) float.

    Parameters
    ----------
    image : (height, width, C) float, NaN where missing
    """
    size = min(PATCH_SIZE, *image.shape[:2])
    share: Tensor = avg_pool2d(image.isnan().any(2)[None].float(), size, stride=1)[0]
    return share


@torch.no_grad()
def fill_holes(
    image: Tensor,
    estimate: Tensor,
    options: RefinementOptions,
    *,
    sigma: float,
    data_range: float,
    on_pass: Callable[[int], None],
) -> Tensor:
    """Improve what `estimate` says of the missing values of `image`.

    The work grows with the part of the image that is near them.

    Parameters
    ----------
    image : (height, width, C) float, NaN where missing
    estimate : (height, width, C) float, a first one without gaps
    sigma : standard deviation of the noise of `image`, 0 if there is none
    data_range : of the image without noise
    on_pass : called with the number of finished passes

    Returns
    -------
    (height, width, C) float, as `image` where it has values
    """
    missing = image.isnan()
    size = min(PATCH_SIZE, *image.shape[:2])
    share = near_holes(image)
    wanted = share > 0
    rotation = torch.as_tensor(opponent_axes(image.shape[2])).to(image)
    levels = _levels(share, sigma, data_range, options.hole_passes)
    groups, guide = torch.empty(0), estimate
    for done, level in enumerate(levels):
        filled = torch.where(missing, estimate, image)
        wide = float(filled.max() - filled.min()) > MOST_SIGMAS * level
        planes, guides = (
            (one @ rotation.T / level).movedim(2, 0).contiguous().to(image if wide else share)
            for one in (filled, torch.where(guide.isnan(), filled, guide))
        )
        if done % options.passes_per_match == 0:
            groups = similar_patches(planes[0], size, options.group_size, options, wanted)
            groups = groups[wanted.flatten()[groups[:, 0]]]
        ridge = torch.full_like(groups[:, 0], size**2, dtype=planes.dtype)
        filtered = [
            filter_image(*pair, groups, ridge, size) for pair in zip(planes, guides, strict=True)
        ]
        guide = torch.stack(filtered, 2).to(image) @ rotation * level
        ahead = 0 < done < len(levels) - 1
        estimate = guide + (guide - estimate) if ahead else guide
        on_pass(done + 1)
    return torch.where(missing, estimate, image)


def _levels(share: Tensor, sigma: float, data_range: float, passes: int) -> list[float]:
    """The noise that is assumed in each pass, at most `passes` of them.

    Parameters
    ----------
    share : float, of each patch of the image, the share of its pixels that is missing
    """
    mean = min(float(share[share > 0].mean()), MOST_MISSING)
    first = FIRST * data_range / (1 - mean)
    last = max(FALL * first, sigma)
    first = max(first, LEAST_TIMES * sigma)
    # Beside noise, there is less to fall, and more passes would fit what is filled in to the noise.
    steps = round((passes - 1) * math.log(last / first) / math.log(FALL))
    return [first * (last / first) ** (done / steps) for done in range(steps)] + [last]
