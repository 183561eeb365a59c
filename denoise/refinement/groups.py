"""Groups of similar patches of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.kernels.matching import match_patches
from denoise.options import RefinementOptions


def similar_patches(
    image: Tensor,
    size: int,
    members: int,
    options: RefinementOptions,
    wanted: Tensor | None = None,
) -> Tensor:
    """Groups (G, M) of similar patches of an image (height, width), as `match_patches`."""
    return match_patches(
        image.to(torch.float32),
        size,
        group_size=members,
        window=options.window,
        stride=min(options.stride, size),
        wanted=wanted,
    )
