"""What all implementations of the search share.

The sum, or the exclusive or, of the keys of its latents identifies a state.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

SEED = 20221113
# States that are less likely than the likeliest by this factor do not enter posterior sums.
LEAST_WEIGHT = 1e-3


@cache
def latent_keys(latents: int, device: torch.device) -> Tensor:
    """A random number for each latent: (H,) int64."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(-(2**62), 2**62, (latents,), generator=generator).to(device)
