"""Image -> overlapping patches, and back: the two are inverses of each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from denoise.errors import ImageError
from denoise.kernels.matching import every
from denoise.kernels.merging import empty_sums

# Some patches of many: their numbers (B,) int64, or a run of them.
Rows = Tensor | slice


@dataclass(frozen=True)
class Place:
    """Where a part of an image lies in the whole: row and column of its first pixel.

    Attributes
    ----------
    width : of the whole image
    """

    row: int
    column: int
    width: int


@dataclass(frozen=True)
class PatchGrid:
    """Where every p×p patch (stride 1) of an image lies.

    Patches are numbered row by row from the top left; patch n holds
    D = p·p·C values in the order (row, column, channel).

    Parameters
    ----------
    image_shape : (height, width, C)
    patch_size : p, in pixels
    device : where indices are made; the image must be there too
    place : of the image, if it is a part of a larger one

    Raises
    ------
    ImageError
        If the image is smaller than one patch.
    """

    image_shape: tuple[int, int, int]
    patch_size: int
    device: torch.device
    place: Place | None = None

    @classmethod
    def of(cls, image: Tensor, patch_size: int, place: Place | None = None) -> Self:
        """The grid of an image (height, width, C)."""
        height, width, channels = image.shape
        return cls((height, width, channels), patch_size, image.device, place)

    def __post_init__(self) -> None:
        height, width, _ = self.image_shape
        if min(height, width) < self.patch_size:
            raise ImageError(
                f"the image is {width}x{height} pixels, smaller than one"
                f" {self.patch_size}x{self.patch_size} patch; use a larger image"
            )

    @property
    def columns(self) -> int:
        return self.image_shape[1] - self.patch_size + 1

    def __len__(self) -> int:
        return (self.image_shape[0] - self.patch_size + 1) * self.columns

    def every(self, stride: int) -> Tensor:
        """Numbers of the patches every `stride` pixels, the last row and column included: (N,)."""
        rows = every(stride, len(self) // self.columns, self.device)
        columns = every(stride, self.columns, self.device)
        return (rows[:, None] * self.columns + columns).flatten()

    def at_borders(self, missing: Tensor) -> Tensor:
        """Numbers of the patches with pixels that are missing and others that are not: (N,).

        Parameters
        ----------
        missing : (height, width) bool
        """
        share = avg_pool2d(missing[None].float(), self.patch_size, stride=1).flatten()
        return ((share > 0) & (share < 1)).nonzero().flatten()

    def in_whole(self, index: Tensor) -> Tensor:
        """Numbers that patches `index` (N,) have in the image of which this is a part: (N,)."""
        if self.place is None:
            return index
        rows = index // self.columns + self.place.row
        columns = index % self.columns + self.place.column
        return rows * (self.place.width - self.patch_size + 1) + columns

    @cached_property
    def offsets(self) -> Tensor:
        """Distance of each value of a patch from its first one, in the flat image: (D,)."""
        _, width, channels = self.image_shape
        steps = torch.arange(self.patch_size, device=self.device)
        rows = steps[:, None, None] * width * channels
        columns = steps[:, None] * channels
        return (rows + columns + torch.arange(channels, device=self.device)).flatten()

    def first(self, index: Tensor) -> Tensor:
        """Places in the flat image of the first values of patches `index` (N,): (N,)."""
        _, width, channels = self.image_shape
        return (index // self.columns * width + index % self.columns) * channels

    def extract(self, image: Tensor, index: Tensor) -> Tensor:
        """Patches number `index` (N,) of `image` (height, width, C): (N, D)."""
        return image.reshape(-1)[self.first(index)[:, None] + self.offsets]


class PatchMerger:
    """Averages overlapping patches into an image, a chunk of patches at a time.

    Sums are kept in integers or float64, where adding a few hundred float32 values is
    practically exact: the order and the size of the chunks do not show.

    Parameters
    ----------
    grid : of the image
    like : tensor with values of the size that patches will have, for the range of integers; None
        if it is unknown, for floats
    """

    def __init__(self, grid: PatchGrid, *, like: Tensor | None) -> None:
        height, width, channels = grid.image_shape
        self._grid = grid
        self._sums = empty_sums(height * width * channels, grid.device, like)

    def add(self, patches: Tensor, index: Tensor, weights: Tensor) -> None:
        """Add `patches` (N, D) at the places number `index` (N,).

        `weights`, from 0 to 1, are for every patch or for every value: (N,) or (N, D).

        If memory runs out, nothing has been added.
        """
        weights = weights.reshape(len(weights), -1)
        self._sums.add(patches, self._grid.first(index), self._grid.offsets, weights)

    def image(self) -> Tensor:
        """Weighted mean of all added values: (height, width, C), NaN where there are none."""
        return self._sums.means().reshape(self._grid.image_shape)


@dataclass(frozen=True)
class Patches:
    """Patch values with missing pixels set apart, so that arithmetic stays finite.

    Attributes
    ----------
    values : (N, D) float, 0 where missing
    observed : (N, D) float, 1 where observed and 0 where missing; None if nothing is missing
    index : (N,) int64, each patch's number in the whole image; names its random stream
    """

    values: Tensor
    observed: Tensor | None
    index: Tensor

    @classmethod
    def from_raw(cls, raw: Tensor, index: Tensor) -> Patches:
        """Split `raw` (N, D), NaN where missing, into values and mask."""
        missing = raw.isnan()
        if not missing.any():
            return cls(raw, None, index)
        return cls(raw.nan_to_num(nan=0.0), (~missing).to(raw.dtype), index)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> Patches:
        observed = None if self.observed is None else self.observed[rows]
        return Patches(self.values[rows], observed, self.index[rows])

    @property
    def mask(self) -> Tensor:
        """1 where observed and 0 where missing: (N, D)."""
        return torch.ones_like(self.values) if self.observed is None else self.observed

    @property
    def observed_counts(self) -> Tensor:
        """Observed values per patch: (N,)."""
        if self.observed is None:
            return torch.full_like(self.values[:, 0], self.values.shape[1])
        return self.observed.sum(1)

    @cached_property
    def centred(self) -> Patches:
        """The same patches with their mean observed value at zero."""
        if self.observed is None:
            return replace(self, values=self.values - self.values.mean(1, keepdim=True))
        means = self.values.sum(1, keepdim=True) / self.observed_counts[:, None].clamp(min=1)
        return replace(self, values=(self.values - means) * self.observed)

    def residuals(self, means: Tensor) -> Tensor:
        """`values` minus `means` (N, S, D), 0 where missing: (N, S, D)."""
        return self.masked(self.values[:, None] - means)

    def masked(self, values: Tensor) -> Tensor:
        """`values` (N, ..., D), 0 where the patch has a missing value."""
        if self.observed is None:
            return values
        return values * self.observed.view(len(self), *[1] * (values.ndim - 2), -1)

    def project(self, values: Tensor, *, free_mean: bool) -> Tensor:
        """The part of `values` (N, ..., D) that the data see: zero where missing.

        With `free_mean`, a constant is not seen either: the mean is removed.
        """
        seen = self.masked(values)
        if not free_mean:
            return seen
        counts = self.observed_counts.clamp(min=1).view(len(self), *[1] * (values.ndim - 1))
        return seen - self.masked((seen.sum(-1, keepdim=True) / counts).expand_as(seen))

    def projected_squares(self, vectors: Tensor, *, free_mean: bool) -> Tensor:
        """Squared lengths of `vectors` (H, D) after `project`, for each patch: (N or 1, H)."""
        if self.observed is None:
            projected = self[:1].project(vectors[None], free_mean=free_mean)
            return projected.square().sum(-1)
        squares = self.observed @ vectors.square().T
        if not free_mean:
            return squares
        counts = self.observed_counts.clamp(min=1)[:, None]
        return squares - (self.observed @ vectors.T).square() / counts
