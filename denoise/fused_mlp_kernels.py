"""Triton kernel for the published decoder on a GPU; `fused_mlp.py` launches it."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def squared_errors(
    before,
    rows,
    weights,
    bias,
    values,
    chosen,
    signs,
    squared,
    parents,
    children,
    hidden,
    width,
    leak,
    FREE_MEAN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Errors of the M children of one parent; their activations are never stored.

    Parameters
    ----------
    before : (N·P, F) float, the parents' hidden layer before its activation
    rows : (H, F) float, what each latent adds there
    weights, bias : (F, D) and (D,) float, of the output
    values : (N, D) float, the patches
    chosen, signs : (N·P, M), the bits that are flipped and 1 or -1 for on or off
    squared : (N·P, M) float, output
    leak : slope of the activation below zero
    FREE_MEAN : whether the mean of the error is taken off
    BLOCK_M, BLOCK_F, BLOCK_D : powers of two from 16 on; the first and last at least M and D
    """
    parent = tl.program_id(0).to(tl.int64)
    m, d = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_D)
    child = parent * children + m
    bits = tl.load(chosen + child, mask=m < children, other=0)
    sign = tl.load(signs + child, mask=m < children, other=0)
    means = tl.zeros([BLOCK_M, BLOCK_D], sign.dtype)
    for start in range(0, hidden, BLOCK_F):
        f = start + tl.arange(0, BLOCK_F)
        inside = f < hidden
        level = tl.load(before + parent * hidden + f, mask=inside, other=0)
        row = tl.load(rows + bits[:, None] * hidden + f[None, :], mask=inside[None, :], other=0)
        level = level[None, :] + sign[:, None] * row
        active = tl.where(level > 0, level, leak * level)
        place = weights + f[:, None] * width + d[None, :]
        weight = tl.load(place, mask=inside[:, None] & (d < width)[None, :], other=0)
        means += tl.dot(active, weight, input_precision="ieee", out_dtype=sign.dtype)
    means += tl.load(bias + d, mask=d < width, other=0)[None, :]
    patch = tl.load(values + parent // parents * width + d, mask=d < width, other=0)
    errors = tl.where((d < width)[None, :], patch[None, :] - means, 0)
    total = tl.sum(errors * errors, 1)
    if FREE_MEAN:
        sums = tl.sum(errors, 1)
        total -= sums * sums / width
    tl.store(squared + child, total, mask=m < children)
