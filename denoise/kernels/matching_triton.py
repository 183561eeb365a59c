"""Triton kernel of block matching; `matching.py` launches it."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def match(
    pilot,
    rows,
    columns,
    numbers,
    height,
    width,
    column_count,
    size,
    window,
    group_size,
    BLOCK_W: tl.constexpr,
    PLACE_BITS: tl.constexpr,
):
    """The M nearest patches of one reference patch, itself first, the others row by row.

    Parameters
    ----------
    pilot : (height, width) float32
    rows, columns : int64, of the reference patches
    numbers : (G, M) int64, output
    column_count, size, window, group_size : number of `columns`, and p, window and M
    BLOCK_W : power of two, at least the (2 · window + 1)^2 places of a window
    PLACE_BITS : of a place, below those of its distance; BLOCK_W <= 2^PLACE_BITS
    """
    group = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + group // column_count).to(tl.int32)
    column = tl.load(columns + group % column_count).to(tl.int32)
    side = 2 * window + 1
    place = tl.arange(0, BLOCK_W)
    y, x = row - window + place // side, column - window + place % side
    inside = (place < side * side) & (y >= 0) & (y <= height - size)
    inside = inside & (x >= 0) & (x <= width - size)
    distance = tl.zeros([BLOCK_W], tl.float32)
    for pixel in range(size * size):
        down, right = pixel // size, pixel % size
        value = tl.load(pilot + (row + down) * width + column + right)
        other = tl.load(pilot + (y + down) * width + x + right, mask=inside, other=0)
        distance += (other - value) * (other - value)

    # Distances are not negative, so their bits are in order; places break ties.
    key = (distance.to(tl.int32, bitcast=True).to(tl.int64) << PLACE_BITS) | place
    own = (y == row) & (x == column)
    wanted = inside & (own == 0)
    below, reached = -1 + tl.min(place, 0).to(tl.int64), tl.max(tl.where(wanted, key, 0), 0)
    for _halving in range(32 + PLACE_BITS):
        middle = (below + reached) >> 1
        enough = tl.sum((wanted & (key <= middle)).to(tl.int32), 0) >= group_size - 1
        below, reached = tl.where(enough, below, middle), tl.where(enough, middle, reached)
    near = wanted & (key <= reached)
    order = tl.where(own, 0, tl.cumsum(near.to(tl.int32), 0))
    number = y.to(tl.int64) * (width - size + 1) + x
    kept = (near | own) & (order < group_size)
    tl.store(numbers + group * group_size + order, number, mask=kept)
