"""Blocks of a frame, found again in the frames before and after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.kernels.loops import on_all_cores
from denoise.kernels.matching import box_sums, every

# Distance of the blocks, in pixels, and farthest move from one frame to the next.
STRIDE, WINDOW = 8, 8
# A block that moves as the others did has to be this much farther, per pixel, than another one:
# noise alone would make blocks of flat areas jump about.
MARGIN = 0.05


def find_blocks(frames: Sequence[Tensor], at: int, size: int) -> Tensor:
    """Where the blocks of one frame are in each frame, by the least squared distance.

    The search goes from frame to frame, and begins where most blocks of the last frame went.

    Parameters
    ----------
    frames : estimates of frames (C, height, width) float, in units of the noise
    at : the number of the frame whose blocks are looked for
    size : side of a block, in pixels

    Returns
    -------
    (F, N) int64, numbers of patches of each frame, counted row by row from the top left
    """
    _, height, width = frames[at].shape
    rows, columns = (every(STRIDE, side - size + 1, frames[at].device) for side in (height, width))
    own = rows[:, None] * (width - size + 1) + columns

    def find(others: Sequence[Tensor]) -> list[Tensor]:
        centre, found = (0, 0), []
        for other in others:
            down, across = _moves(frames[at], other, size, rows, columns, centre)
            centre = int(down.median()), int(across.median())
            found.append((own + down * (width - size + 1) + across).flatten())
        return found

    before, after = on_all_cores(find, (frames[:at][::-1], frames[at + 1 :]))
    return torch.stack([*before[::-1], own.flatten(), *after])


def _moves(
    frame: Tensor,
    other: Tensor,
    size: int,
    rows: Tensor,
    columns: Tensor,
    centre: tuple[int, int],
) -> Tensor:
    """Moves of blocks down and to the right: (2, rows, columns), 0 for those that leave."""
    _, height, width = frame.shape
    reach = WINDOW + max(abs(step) for step in centre)
    far = pad(other, (reach, reach, reach, reach), value=torch.inf)
    best = frame.new_full((len(rows), len(columns)), torch.inf)
    moves = rows.new_zeros(2, *best.shape)
    steps = range(-WINDOW, WINDOW + 1)
    for y, x in sorted(((y, x) for y in steps for x in steps), key=lambda step: step != (0, 0)):
        down, across = centre[0] + y, centre[1] + x
        top, left = reach + down, reach + across
        moved = far[:, top : top + height, left : left + width]
        distance = box_sums((frame - moved).square_().sum(0), rows, columns, size)
        if (y, x) == (0, 0):
            distance -= MARGIN * size**2
        nearer = distance < best
        best = torch.where(nearer, distance, best)
        moves = torch.where(nearer, moves.new_tensor([down, across])[:, None, None], moves)
    return moves
