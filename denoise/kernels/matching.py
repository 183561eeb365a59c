"""Block matching: groups of similar patches, found in a pilot image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.kernels.choice import Implementation, implementation
from denoise.kernels.launching import WARPS, launch, power_of_two
from denoise.kernels.loops import on_all_cores

# Reference patches, and offsets within the window, handled at a time by plain tensors; they bound
# memory.
REFERENCES_AT_A_TIME, OFFSETS_AT_A_TIME = 4096, 128
# Rows of reference patches that are one piece of work on a CPU.
ROWS = 4
# Rows of reference patches of which those are left out whose groups are not wanted.
BAND = 16
# Larger patches do not fit into the strips that are compared at a time on a CPU.
MOST_SIZE = 64
# More places in a window do not fit into the keys that order distances on a GPU.
PLACE_BITS = 13
# What keeps the distances of a window in registers.
PLACES_OF_A_WARP, MOST_WARPS = 512, 16


def match_patches(
    pilot: Tensor,
    patch_size: int,
    *,
    group_size: int,
    window: int,
    stride: int,
    wanted: Tensor | None = None,
) -> Tensor:
    """For patches every `stride` pixels, the most similar ones around them, themselves first.

    Parameters
    ----------
    pilot : (height, width) float
    patch_size : side p, in pixels
    group_size : M; less if the window of a corner patch holds fewer
    window : largest offset between the top left corners, in pixels
    stride : distance of the reference patches, in pixels; the last row and column are included
    wanted : (rows, columns) bool, whether a group of each patch is wanted, or None for all; some
        others come along

    Returns
    -------
    (G, M) int64, numbers of patches, counted row by row from the top left. Only the patch itself
    has its place in a group, the others are in no order of distance
    """
    height, width = (length - patch_size + 1 for length in pilot.shape)
    group_size = min(group_size, min(height, window + 1) * min(width, window + 1))
    rows, columns = (every(stride, count, pilot.device) for count in (height, width))
    if wanted is None:
        return _match(pilot, patch_size, window, rows, columns, group_size)
    found = [torch.empty(0, group_size, dtype=torch.int64, device=pilot.device)]
    wanted = wanted[rows][:, columns].cpu()  # a GPU is waited for once
    for band, near in zip(rows.split(BAND), wanted.split(BAND), strict=True):
        if near.any():
            down, across = (near.any(axis).nonzero().flatten().to(rows.device) for axis in (1, 0))
            found.append(_match(pilot, patch_size, window, band[down], columns[across], group_size))
    return torch.cat(found)


def _match(
    pilot: Tensor, patch_size: int, window: int, rows: Tensor, columns: Tensor, group_size: int
) -> Tensor:
    """Groups of the reference patches at `rows` × `columns`: (G, M)."""
    compiled: list[Implementation] = ["numba"] if patch_size <= MOST_SIZE else []
    if (2 * window + 1) ** 2 <= 2**PLACE_BITS:
        compiled.append("triton")
    match implementation(pilot, *compiled):
        case "numba":
            return _match_on_cpu(pilot, patch_size, window, rows, columns, group_size)
        case "triton":
            return _match_on_gpu(pilot, patch_size, window, rows, columns, group_size)
    bands = rows.split(max(1, REFERENCES_AT_A_TIME // len(columns)))
    found = [_match_band(pilot, patch_size, window, some, columns, group_size) for some in bands]
    return torch.cat(found)


def every(stride: int, count: int, device: torch.device) -> Tensor:
    """Every `stride`-th of the numbers below `count`, from 0 on, and the last one."""
    return torch.tensor([*range(0, count - 1, stride), count - 1], device=device)


def _match_band(
    pilot: Tensor, patch_size: int, window: int, rows: Tensor, columns: Tensor, group_size: int
) -> Tensor:
    """Groups of some rows of reference patches, by plain tensors: (G', M)."""
    height, width = (length - patch_size + 1 for length in pilot.shape)
    top, bottom = int(rows[0]), int(rows[-1]) + patch_size
    band = pilot[top:bottom]
    # Outside of the image everything is infinitely far.
    far = pad(pilot, (window, window, window, window), value=torch.inf)
    first = (rows[:, None] * width + columns).flatten()
    best = torch.full((len(first), group_size), torch.inf, device=pilot.device)
    numbers = torch.zeros_like(best, dtype=torch.int64)
    distances, candidates = [best], [numbers]
    offsets = [(y, x) for y in range(-window, window + 1) for x in range(-window, window + 1)]
    for done, (y, x) in enumerate(offsets, start=1):
        if abs(y) < height and abs(x) < width:
            left = window + x
            moved = far[window + top + y : window + bottom + y, left : left + pilot.shape[1]]
            squared = (band - moved).square_()
            distance = box_sums(squared, rows - top, columns, patch_size).flatten()
            if (y, x) == (0, 0):
                distance = distance - 1  # a patch comes before others that equal it
            distances.append(distance[:, None])
            candidates.append((first + y * width + x)[:, None])
        if len(distances) > OFFSETS_AT_A_TIME or done == len(offsets):
            kept = torch.cat(distances, 1).topk(group_size, largest=False, sorted=True)
            numbers = torch.cat(candidates, 1).gather(1, kept.indices)
            distances, candidates = [kept.values], [numbers]
    return numbers


def box_sums(values: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    """Sums of `values` over size×size squares with top left corners at `rows` × `columns`."""
    down = values.index_select(0, rows)
    for step in range(1, size):
        down += values.index_select(0, rows + step)
    sums = down.index_select(1, columns)
    for step in range(1, size):
        sums += down.index_select(1, columns + step)
    return sums


def _match_on_cpu(
    pilot: Tensor, patch_size: int, window: int, rows: Tensor, columns: Tensor, group_size: int
) -> Tensor:
    from denoise.kernels import matching_numba

    image = pilot.contiguous().numpy()

    def match_some(some: Tensor) -> Tensor:
        numbers = torch.empty(len(some) * len(columns), group_size, dtype=torch.int64)
        matching_numba.match(
            image, patch_size, window, some.numpy(), columns.numpy(), numbers.numpy()
        )
        return numbers

    return torch.cat(list(on_all_cores(match_some, rows.split(ROWS))))


def _match_on_gpu(
    pilot: Tensor, patch_size: int, window: int, rows: Tensor, columns: Tensor, group_size: int
) -> Tensor:
    from denoise.kernels import matching_triton

    numbers = rows.new_empty(len(rows) * len(columns), group_size)
    height, width = pilot.shape
    places = power_of_two((2 * window + 1) ** 2)
    launch(
        matching_triton.match,
        (len(numbers),),
        warps=min(max(places // PLACES_OF_A_WARP, WARPS), MOST_WARPS),
        pilot=pilot.contiguous(),
        rows=rows,
        columns=columns,
        numbers=numbers,
        height=height,
        width=width,
        column_count=len(columns),
        size=patch_size,
        window=window,
        group_size=group_size,
        BLOCK_W=places,
        PLACE_BITS=PLACE_BITS,
    )
    return numbers
