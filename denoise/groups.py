"""Block matching: groups of similar patches, found in a pilot image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.threads import on_all_cores

# Reference patches and window offsets handled at a time; they bound memory.
REFERENCES_AT_A_TIME = 4096
OFFSETS_AT_A_TIME = 128


def match_patches(
    pilot: Tensor, patch_size: int, *, group_size: int, window: int, stride: int
) -> Tensor:
    """For patches every `stride` pixels, the most similar ones around them, themselves first.

    Parameters
    ----------
    pilot : (height, width, C) float
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
    bands = rows.split(max(1, REFERENCES_AT_A_TIME // len(columns)))

    def match_band(some: Tensor) -> Tensor:
        return _match_band(pilot, patch_size, some, columns, group_size, window)

    return torch.cat(list(on_all_cores(match_band, bands)))


def _places(count: int, stride: int, like: Tensor) -> Tensor:
    places = torch.arange(0, count, stride, device=like.device)
    last = torch.tensor([count - 1], device=like.device)
    return places if places[-1] == last else torch.cat([places, last])


def _match_band(
    pilot: Tensor, patch_size: int, rows: Tensor, columns: Tensor, group_size: int, window: int
) -> Tensor:
    """Groups of the reference patches at `rows` × `columns`: (G', M)."""
    height, width = pilot.shape[0] - patch_size + 1, pilot.shape[1] - patch_size + 1
    top, bottom = int(rows[0]), int(rows[-1]) + patch_size
    image = pilot.permute(2, 0, 1)  # (C, height, width)
    band = image[:, top:bottom]
    # Outside of the image lies something far from everything.
    far = pad(image, (window, window, window, window), value=torch.inf)
    first = (rows[:, None] * width + columns).flatten()
    best = torch.full((len(first), group_size), torch.inf, device=pilot.device)
    numbers = torch.zeros_like(best, dtype=torch.int64)
    distances, candidates = [best], [numbers]
    offsets = [(y, x) for y in range(-window, window + 1) for x in range(-window, window + 1)]
    for done, (y, x) in enumerate(offsets, start=1):
        if abs(y) < height and abs(x) < width:
            left = window + x
            moved = far[:, window + top + y : window + bottom + y, left : left + pilot.shape[1]]
            squared = (band - moved).square_().sum(0)
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
