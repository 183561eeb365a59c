"""Merging of patches on a CUDA GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.kernels.launching import OPTIONS, launching_on, power_of_two, works_on
from denoise.patches import PatchGrid

# Values that a program handles at a time.
BLOCK = 256
# How much larger than the largest value that is to be expected one may be, and bits below this
# bound and below 1: a million weights of 1 fit on top of a pixel.
HEADROOM, BITS = 64.0, 42


def supports(like: Tensor) -> bool:
    """Whether there is a kernel for the device."""
    return like.device.type == "cuda" and works_on(like.device)


class IntegerSums:
    """Sums in whole multiples of a small number: threads may meet in any order.

    Parameters
    ----------
    grid : of the image
    like : tensor with values of the size that patches will have, but for those that are not finite
    """

    def __init__(self, grid: PatchGrid, like: Tensor) -> None:
        self._grid = grid
        pixels = grid.image_shape[0] * grid.image_shape[1] * grid.image_shape[2]
        self._sums = torch.zeros(2, pixels, dtype=torch.int64, device=grid.device)
        self._broken = torch.zeros(pixels, dtype=torch.uint8, device=grid.device)
        largest = like.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().amax().double()
        self._limit = (HEADROOM * largest).clamp(min=torch.finfo(torch.float32).tiny)

    def add(self, patches: Tensor, index: Tensor, weights: Tensor) -> None:
        """As `merging.Sums.add`."""
        from denoise.kernels import merging_triton as kernels

        _, width, channels = self._grid.image_shape
        count, size = patches.shape
        at_once = max(BLOCK // power_of_two(size), 1)
        patches, index, weights = patches.contiguous(), index.contiguous(), weights.contiguous()
        with launching_on(patches.device):
            kernels.merge[(-(-count // at_once),)](
                patches,
                index,
                weights,
                self._sums[0],
                self._sums[1],
                self._broken,
                self._limit,
                count,
                size,
                self._grid.columns,
                width * channels,
                self._grid.patch_size * channels,
                channels,
                BITS=BITS,
                BLOCK_N=at_once,
                BLOCK_D=power_of_two(size),
                **OPTIONS,
            )

    def means(self) -> Tensor:
        """As `merging.Sums.means`."""
        values, weights = self._sums.double()
        return torch.where(self._broken > 0, torch.nan, values / weights * self._limit)
