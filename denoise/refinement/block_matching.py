"""Block matching: groups of similar patches, found in a pilot image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.kernels import groups_gpu as on_gpu
from denoise.kernels import matching_cpu as on_cpu

# Reference patches and window offsets handled at a time; they bound memory.
REFERENCES_AT_A_TIME = 4096
OFFSETS_AT_A_TIME = 128


def match_patches(
    pilot: Tensor, patch_size: int, *, group_size: int, window: int, stride: int
) -> Tensor:
    """For patches every `stride` pixels, the most similar ones around them, themselves first.

    Parameters
    ----------
    pilot : (height, width) float
    patch_size : side p, in pixels
    group_size : M; less if the window of a corner patch holds fewer
    window : largest offset between the top left corners, in pixels
    stride : distance of the reference patches, in pixels; the last row and column are included

    Returns
    -------
    (G, M) int64, numbers of patches in the `PatchGrid` of the pilot
    """
    height, width = pilot.shape[0] - patch_size + 1, pilot.shape[1] - patch_size + 1
    group_size = min(group_size, min(height, window + 1) * min(width, window + 1))
    rows, columns = _places(height, stride, pilot), _places(width, stride, pilot)
    match = match_plainly
    if on_cpu.supports(pilot):
        match = on_cpu.match
    elif on_gpu.can_match(pilot, window):
        match = on_gpu.match
    return match(pilot, patch_size, window, rows, columns, group_size)


def _places(count: int, stride: int, like: Tensor) -> Tensor:
    places = [*range(0, count - 1, stride), count - 1]
    return torch.tensor(places, device=like.device)


def match_plainly(
    pilot: Tensor, patch_size: int, window: int, rows: Tensor, columns: Tensor, group_size: int
) -> Tensor:
    """Groups of the reference patches at `rows` × `columns`, by plain tensors: (G, M)."""
    bands = rows.split(max(1, REFERENCES_AT_A_TIME // len(columns)))
    found = [_match_band(pilot, patch_size, some, columns, group_size, window) for some in bands]
    return torch.cat(found)


def _match_band(
    pilot: Tensor, patch_size: int, rows: Tensor, columns: Tensor, group_size: int, window: int
) -> Tensor:
    """Groups of some rows of reference patches: (G', M)."""
    height, width = pilot.shape[0] - patch_size + 1, pilot.shape[1] - patch_size + 1
    top, bottom = int(rows[0]), int(rows[-1]) + patch_size
    band = pilot[top:bottom]
    # Outside of the image lies something far from everything.
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
            distance = _box_sums(squared, rows - top, columns, patch_size).flatten()
            distances.append((distance if (y, x) != (0, 0) else distance - 1)[:, None])
            candidates.append((first + y * width + x)[:, None])
        if len(distances) > OFFSETS_AT_A_TIME or done == len(offsets):
            kept = torch.cat(distances, 1).topk(group_size, largest=False, sorted=True)
            numbers = torch.cat(candidates, 1).gather(1, kept.indices)
            distances, candidates = [kept.values], [numbers]
    return numbers


def _box_sums(values: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    """Sums of `values` over size×size squares with top left corners at `rows` × `columns`."""
    down = values.index_select(0, rows)
    for step in range(1, size):
        down += values.index_select(0, rows + step)
    sums = down.index_select(1, columns)
    for step in range(1, size):
        sums += down.index_select(1, columns + step)
    return sums
