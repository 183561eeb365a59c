"""Merging overlapping patches by the median or by the mean of the values that a pixel gets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from denoise.patches import PatchGrid, PatchMerger

# From numbers of patches (N,) to their values (N, D).
Rebuild = Callable[[Tensor], Tensor]
# Rows of the image that are merged at a time: the values of their patches are held in memory.
BAND_ROWS = 32


def mean_image(rebuild: Rebuild, grid: PatchGrid, *, band_rows: int = BAND_ROWS) -> Tensor:
    """The image whose pixels are means over all patches that cover them: (height, width, C).

    Parameters
    ----------
    rebuild : asked once for each patch
    band_rows : rows of patches rebuilt at a time
    """
    merger = PatchMerger(grid, like=None)
    for index in torch.arange(len(grid), device=grid.device).split(band_rows * grid.columns):
        rebuilt = rebuild(index)
        merger.add(rebuilt, index, torch.ones_like(rebuilt[:, 0]))
    return merger.image()


def median_image(rebuild: Rebuild, grid: PatchGrid, *, band_rows: int = BAND_ROWS) -> Tensor:
    """The image whose pixels are medians over all patches that cover them: (height, width, C).

    Parameters
    ----------
    rebuild : asked once for each patch
    band_rows : rows of the image merged at a time, which bound the memory and change no value
    """
    height, width, channels = grid.image_shape
    size = grid.patch_size
    held = torch.empty(0, grid.columns, size, size, channels, device=grid.device)
    done, bands = 0, []
    for top in range(0, height, band_rows):
        bottom = min(top + band_rows, height)
        last = min(bottom, height - size + 1)
        if last > done:
            index = torch.arange(done * grid.columns, last * grid.columns, device=grid.device)
            held = torch.cat([held, rebuild(index).view(-1, *held.shape[1:])])
            done = last
        # Patches that end above the band are not needed any more.
        held = held[max(len(held) - (done - (top - size + 1)), 0) :]
        bands.append(_band_of_medians(held, done - len(held), top, bottom, width))
    return torch.cat(bands)


def median(values: Tensor) -> Tensor:
    """Median over the first axis of what is not NaN: the mean of the middle two if it is even."""
    ordered = values.sort(0).values
    counts = (~ordered.isnan()).sum(0, keepdim=True)
    lower, upper = ordered.gather(0, (counts - 1) // 2), ordered.gather(0, counts // 2)
    return ((lower + upper) / 2)[0]


def _band_of_medians(held: Tensor, first: int, top: int, bottom: int, width: int) -> Tensor:
    """Rows `top` to `bottom` of the image, from rows of patches of which `first` is the first."""
    count, columns, size, _, channels = held.shape
    values = held.new_full((size, size, bottom - top, width, channels), torch.nan)
    for row in range(size):
        begin, end = max(first + row, top), min(first + count + row, bottom)
        for column in range(size):
            pixels = held[begin - row - first : max(end - row - first, 0), :, row, column]
            values[row, column, begin - top : end - top, column : column + columns] = pixels
    return median(values.flatten(0, 1))
