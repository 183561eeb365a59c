"""Overlapping patches -> image, the inverse of `PatchGrid.extract`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from denoise.kernels import merging_gpu as on_gpu
from denoise.patches import PatchGrid


class Sums(Protocol):
    """Weighted sums of the values of patches, and of their weights, for all pixels."""

    def add(self, patches: Tensor, index: Tensor, weights: Tensor) -> None:
        """Add `patches` (N, D) at the places number `index` (N,) with `weights` (N,).

        If memory does not suffice, nothing has been added.
        """

    def means(self) -> Tensor:
        """Of each value of the flat image; NaN where nothing was added."""


class PatchMerger:
    """Averages overlapping patches into an image, a chunk of patches at a time.

    Sums are kept in integers or float64, where adding a few hundred float32 values is
    practically exact: neither the order nor the size of the chunks shows.

    Parameters
    ----------
    grid : of the image
    like : tensor with values of the size that patches will have, for the range of integers; None
        if it is unknown, for floats
    """

    def __init__(self, grid: PatchGrid, *, like: Tensor | None) -> None:
        self._shape = grid.image_shape
        if like is not None and on_gpu.supports(like):
            self._sums: Sums = on_gpu.IntegerSums(grid, like)
        else:
            self._sums = _FloatSums(grid)

    def add(self, patches: Tensor, index: Tensor, weights: Tensor) -> None:
        """Add `patches` (N, D) at the places number `index` (N,) with `weights` (N,), 0..1."""
        self._sums.add(patches, index, weights)

    def image(self) -> Tensor:
        """Weighted mean of all added values: (height, width, C), NaN where there are none."""
        return self._sums.means().reshape(self._shape)


class _FloatSums:
    """In float64, on any device."""

    def __init__(self, grid: PatchGrid) -> None:
        self._grid = grid
        size = grid.image_shape[0] * grid.image_shape[1] * grid.image_shape[2]
        # MPS has no float64.
        dtype = torch.float32 if grid.device.type == "mps" else torch.float64
        # Of values and of weights, laid out as each device adds them up fastest.
        sums = torch.zeros(2 * size, dtype=dtype, device=grid.device)
        self._sums = sums.view(size, 2).T if sums.is_cuda else sums.view(2, size)

    def add(self, patches: Tensor, index: Tensor, weights: Tensor) -> None:
        """As `Sums.add`."""
        positions = self._grid.positions(index).flatten()
        weights = weights[:, None].to(self._sums.dtype).expand(patches.shape)
        added = ((patches * weights).flatten(), weights.flatten())
        (_add_on_gpu if self._sums.is_cuda else _add_on_cpu)(self._sums, positions, added)

    def means(self) -> Tensor:
        """As `Sums.means`."""
        return self._sums[0] / self._sums[1]


def _add_on_cpu(sums: Tensor, positions: Tensor, added: Sequence[Tensor]) -> None:
    """Add values (N,) for each row of `sums`, at `positions` (N,), one after the other."""
    for row, values in zip(sums, added, strict=True):
        row.scatter_add_(0, positions, values)


def _add_on_gpu(sums: Tensor, positions: Tensor, added: Sequence[Tensor]) -> None:
    """The same where threads meet: sorted first, so that every run adds in the same order."""
    sums.T.index_put_((positions,), torch.stack(tuple(added), 1), accumulate=True)
