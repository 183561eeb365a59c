"""One pass of the group filters over an image, and how much noise an earlier one has left."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from denoise.devices import PartsThatFit
from denoise.kernels.choice import implementation
from denoise.kernels.group_filters import filter_groups, filter_on_cpu
from denoise.patches import PatchGrid, PatchMerger

# Few fit into a CPU's cache, many keep a GPU busy.
GROUPS_AT_A_TIME, GROUPS_AT_A_TIME_ON_GPU = 512, 2048


def filter_image(
    data: Tensor,
    pilot: Tensor,
    groups: Tensor,
    ridge: Tensor,
    patch_size: int,
    *,
    across_patches: bool = True,
) -> Tensor:
    """Filter all groups of an image, and average what they say of each pixel.

    Parameters
    ----------
    data, pilot : (height, width) float
    groups : (G, M) int64, numbers of patches; together they cover the image
    ridge : (G,) float, of each group; it and `across_patches` as for `filter_groups`
    """
    # Its compiled loops work on float64, too.
    if implementation(data[:1].to(torch.float32), "numba") == "numba":
        return filter_on_cpu(data, pilot, groups, ridge, patch_size, across_patches=across_patches)
    grid = PatchGrid.of(data[..., None], patch_size)
    merger = PatchMerger(grid, like=data)

    def filter_some(chosen: slice) -> None:
        index = groups[chosen]
        members, pilots = (
            grid.extract(image, index.flatten()).view(*index.shape, -1) for image in (data, pilot)
        )
        estimates, weights = filter_groups(
            members, pilots, ridge[chosen], across_patches=across_patches
        )
        weights = weights[:, None].expand_as(estimates)
        merger.add(estimates.flatten(0, 1), index.flatten(), weights.flatten(0, 1))

    at_first = GROUPS_AT_A_TIME_ON_GPU if data.device.type != "cpu" else GROUPS_AT_A_TIME
    PartsThatFit(at_first=at_first).results(filter_some, len(groups))
    return merger.image()[..., 0].to(data.dtype)


def noise_left(
    noisy: Tensor, data: Tensor, variance: Tensor, groups: Tensor, patch_size: int
) -> Tensor:
    """The share of the noise of `noisy` that is left in `data`, in each group.

    The noise that was removed is taken for a multiple of the noise that was there (LIChI:
    Herbreteau, Kervrann, arXiv 2212.00422).

    Parameters
    ----------
    noisy, data : (height, width) float
    variance : (height, width) float, of the noise of `noisy`
    groups : (G, M) int64, numbers of patches

    Returns
    -------
    (G,) float, of standard deviations; less than 0 where more than the noise was removed
    """
    removed = (noisy - data).square() / variance
    return 1 - group_means(removed, groups, patch_size).sqrt()


def group_means(values: Tensor, groups: Tensor, patch_size: int) -> Tensor:
    """Means over all patches of a group: (height, width), (G, M) → (G,)."""
    rows = avg_pool2d(values[None], (1, patch_size), stride=1)
    patches = avg_pool2d(rows, (patch_size, 1), stride=1).flatten()
    means: Tensor = patches[groups].mean(1)
    return means


def spread(values: Tensor, groups: Tensor, like: Tensor, patch_size: int) -> Tensor:
    """Values of the groups (G,), averaged over the reference patches that cover a pixel.

    Parameters
    ----------
    like : an image of the size that is wanted, (height, width) float
    """
    grid = PatchGrid.of(like[..., None], patch_size)
    merger = PatchMerger(grid, like=values)
    patches = values[:, None].expand(-1, patch_size**2)
    merger.add(patches, groups[:, 0], torch.ones_like(values))
    return merger.image()[..., 0].to(like.dtype)
