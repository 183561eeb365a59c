"""Weighted sums of overlapping patches, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from denoise.kernels.choice import implementation
from denoise.kernels.launching import launch, power_of_two

# Values that a program handles at a time.
BLOCK = 256
# Values may be HEADROOM times the largest expected one. Sums have BITS fractional bits; int64 then
# holds 2^20 weights of 1 on one pixel.
HEADROOM, BITS = 64.0, 42


class Sums(Protocol):
    """Weighted sums of values, and of their weights, for every place of a flat image."""

    def add(self, values: Tensor, first: Tensor, offsets: Tensor, weights: Tensor) -> None:
        """Add values (N, D) at the places first (N,) + offsets (D,).

        `weights`, up to 1, are for every value or for every patch: (N, D) or (N, 1).
        """

    def means(self) -> Tensor:
        """Weighted mean at each place; NaN where nothing was added."""


def empty_sums(size: int, device: torch.device, like: Tensor | None) -> Sums:
    """Sums for `size` places, to which nothing has been added.

    Parameters
    ----------
    like : tensor with values of the expected size, which integers need to know; None if it is
        unknown
    """
    if like is not None and implementation(like, "triton") == "triton":
        return IntegerSums(size, like)
    return FloatSums(size, device)


class FloatSums:
    """Sums in float64, on any device."""

    def __init__(self, size: int, device: torch.device) -> None:
        # MPS has no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        # Values and weights, laid out as each device adds them up fastest.
        sums = torch.zeros(2 * size, dtype=dtype, device=device)
        self._sums = sums.view(size, 2).T if sums.is_cuda else sums.view(2, size)

    def add(self, values: Tensor, first: Tensor, offsets: Tensor, weights: Tensor) -> None:
        """As `Sums.add`."""
        places = (first[:, None] + offsets).flatten()
        weights = weights.to(self._sums.dtype).expand(values.shape)
        added = ((values * weights).flatten(), weights.flatten())
        (add_sorted if self._sums.is_cuda else add_in_order)(self._sums, places, added)

    def means(self) -> Tensor:
        """As `Sums.means`."""
        return self._sums[0] / self._sums[1]


def add_in_order(sums: Tensor, places: Tensor, added: Sequence[Tensor]) -> None:
    """Add values (N,) to each row of `sums`, at `places` (N,), one after the other."""
    for row, values in zip(sums, added, strict=True):
        row.scatter_add_(0, places, values)


def add_sorted(sums: Tensor, places: Tensor, added: Sequence[Tensor]) -> None:
    """The same where threads meet: sorted first, so that every run adds in the same order."""
    sums.T.index_put_((places,), torch.stack(tuple(added), 1), accumulate=True)


class IntegerSums:
    """Sums in whole multiples of a small number, which may be added in any order.

    Parameters
    ----------
    like : tensor with values of the expected size; those that are not finite do not count
    """

    def __init__(self, size: int, like: Tensor) -> None:
        self._sums = torch.zeros(2, size, dtype=torch.int64, device=like.device)
        self._broken = torch.zeros(size, dtype=torch.uint8, device=like.device)
        largest = like.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().amax().double()
        self._limit = (HEADROOM * largest).clamp(min=torch.finfo(torch.float32).tiny)

    def add(self, values: Tensor, first: Tensor, offsets: Tensor, weights: Tensor) -> None:
        """As `Sums.add`."""
        from denoise.kernels import merging_triton

        count, size = values.shape
        weights = weights.expand(values.shape)
        at_once = max(BLOCK // power_of_two(size), 1)
        launch(
            merging_triton.merge,
            (-(-count // at_once),),
            patches=values.contiguous(),
            first=first,
            offsets=offsets,
            weights=weights,
            weights_row=weights.stride(0),
            weights_column=weights.stride(1),
            values=self._sums[0],
            totals=self._sums[1],
            broken=self._broken,
            limit=self._limit,
            count=count,
            size=size,
            BITS=BITS,
            BLOCK_N=at_once,
            BLOCK_D=power_of_two(size),
        )

    def means(self) -> Tensor:
        """As `Sums.means`."""
        values, weights = self._sums.double()
        return torch.where(self._broken > 0, torch.nan, values / weights * self._limit)
