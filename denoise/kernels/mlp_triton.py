"""Triton kernels of the MLP, and of its gradients; `mlp.py` launches them.

One hidden layer, mu(z) = V g(U z + u) + v, is all they know; only the gradients need its
activations in memory. Parameters of the same name are the same everywhere:

    pool                     (N, T, ceil(H / 8)) uint8, packed states: T places for each patch
    slots, held              places in the flat pool, and whether they are to be read
    values                   (N, D) float, the patches
    rows, first              (H, F) and (F,) float, U^T and u
    weights, last            (F, D) and (D,) float, V^T and v
    variance                 () float, sigma^2
    total, size              T and S
    latents, hidden, width   H, F and D
    leak                     slope of g below zero
    FREE_MEAN                whether the mean of an error is taken off
    BLOCK_...                powers of two: how many are handled at a time, or at least all
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

_TWO_PI = tl.constexpr(2 * math.pi)


@triton.jit
def bits_of(pool, slots, h, held, latents):
    """z_h of the states in `slots` (B,), for all `h` (K,): (B, K) of 0 and 1."""
    stride = (latents + 7) // 8
    mask = held[:, None] & (h < latents)[None, :]
    bytes = tl.load(pool + slots[:, None] * stride + h[None, :] // 8, mask=mask, other=0)
    return (bytes.to(tl.int32) >> (h % 8)[None, :]) & 1


@triton.jit
def matrix(start, i, j, height, length):
    """A part of a (height, length) matrix, 0 beyond it: (I, J)."""
    mask = (i < height)[:, None] & (j < length)[None, :]
    return tl.load(start + i[:, None] * length + j[None, :], mask=mask, other=0)


@triton.jit
def vector(start, i, length):
    """Entries `i` of a vector of `length`, 0 beyond it."""
    return tl.load(start + i, mask=i < length, other=0)


@triton.jit
def nan_to_neg_inf(values):
    """NaN becomes -inf, so that argmax never picks it; the check of the ELBO reports it."""
    return tl.where(values == values, values, float("-inf"))


@triton.jit
def log_odds(prior, h, latents):
    """Logit of pi_h."""
    share = tl.load(prior + h, mask=h < latents, other=0.5)
    return tl.log(share) - tl.log(1 - share)


@triton.jit
def shared_log_joint(
    prior, variance, latents, width, FREE_MEAN: tl.constexpr, BLOCK_H: tl.constexpr
):
    """What all log joints of a patch have in common, as `BinaryVAE.log_joints_of`."""
    off = tl.zeros([BLOCK_H], prior.dtype.element_ty)
    for start in range(0, latents, BLOCK_H):
        share = vector(prior, start + tl.arange(0, BLOCK_H), latents)
        off += tl.log(1 - share)
    free = width
    if FREE_MEAN:
        free = width - 1
    return tl.sum(off, 0) - 0.5 * free * tl.log(tl.load(variance) * _TWO_PI)


@triton.jit
def activated(level, leak):
    """g(level), as `mlp.MLP`."""
    return tl.where(level > 0, level, leak * level)


@triton.jit
def hidden_level(pool, slots, held, rows, first, f, latents, hidden, BLOCK_H: tl.constexpr):
    """Hidden units `f` of the states in `slots`, before their activation: (B, BLOCK_F)."""
    bias = vector(first, f, hidden)
    level = tl.zeros([slots.shape[0], f.shape[0]], bias.dtype) + bias[None, :]
    for start in range(0, latents, BLOCK_H):
        h = start + tl.arange(0, BLOCK_H)
        on = bits_of(pool, slots, h, held, latents).to(bias.dtype)
        row = matrix(rows, h, f, latents, hidden)
        level += tl.dot(on, row, input_precision="ieee", out_dtype=bias.dtype)
    return level


@triton.jit
def errors_left(means, values, n, d, width, FREE_MEAN: tl.constexpr):
    """What means (B, BLOCK_D) leave of patch n."""
    errors = tl.where((d < width)[None, :], vector(values + n * width, d, width)[None, :], 0)
    errors = tl.where((d < width)[None, :], errors - means, 0)
    if FREE_MEAN:
        mean = tl.sum(errors, 1) / width
        errors = tl.where((d < width)[None, :], errors - mean[:, None], 0)
    return errors


@triton.jit
def errors_of(
    pool,
    slots,
    held,
    values,
    n,
    rows,
    first,
    weights,
    last,
    latents,
    hidden,
    width,
    leak,
    FREE_MEAN: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """What the means of the states in `slots` leave of patch n: (B, BLOCK_D)."""
    d = tl.arange(0, BLOCK_D)
    bias = vector(last, d, width)
    means = tl.zeros([slots.shape[0], BLOCK_D], bias.dtype) + bias[None, :]
    for start in range(0, hidden, BLOCK_F):
        f = start + tl.arange(0, BLOCK_F)
        level = hidden_level(pool, slots, held, rows, first, f, latents, hidden, BLOCK_H)
        weight = matrix(weights, f, d, hidden, width)
        active = activated(level, leak)
        means += tl.dot(active, weight, input_precision="ieee", out_dtype=bias.dtype)
    return errors_left(means, values, n, d, width, FREE_MEAN)


@triton.jit
def _store(start, i, j, values, held, length, stride):
    """A part (I, J) of the first `length` columns of a matrix whose rows take `stride` places."""
    mask = held[:, None] & (j < length)[None, :]
    tl.store(start + i[:, None] * stride + j[None, :], values, mask=mask)


@triton.jit(do_not_specialize=["count"])
def back_propagate(
    pool,
    scores,
    values,
    rows,
    first,
    weights,
    last,
    variance,
    posterior,
    latent_side,
    hidden_side,
    back,
    blame,
    count,
    latent_stride,
    hidden_stride,
    total,
    size,
    latents,
    hidden,
    width,
    leak,
    FREE_MEAN: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Back-propagate minus the ELBO through the MLP, for some of a patch's states.

    What is left to do for gradients of the weights are matrix products of the outputs.

    Parameters
    ----------
    scores : (N, T) float, log joints
    posterior : (N·S) float, output; posterior weights
    latent_side : (N·S, H + 3) float, output; z, squared error, ELBO of the patch, and 1
    hidden_side : (N·S, F + 1) float, output; the hidden layer g(U z + u), and 1
    latent_stride, hidden_stride : from row to row of these two
    blame, back : (N·S, D) and (N·S, F) float, output; gradients in mu and in U z + u
    count : gradients are divided by it
    BLOCK_T : at least S
    """
    n = tl.program_id(0).to(tl.int64)
    s, d = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S), tl.arange(0, BLOCK_D)
    slots, held, row = n * total + s, s < size, n * size + s
    errors = errors_of(
        pool, slots, held, values, n, rows, first, weights, last,
        latents, hidden, width, leak, FREE_MEAN, BLOCK_H, BLOCK_F, BLOCK_D,
    )  # fmt: skip
    t = tl.arange(0, BLOCK_T)
    others = tl.load(scores + n * total + t, mask=t < size, other=float("-inf"))
    most = tl.max(others, 0)
    evidence = tl.sum(tl.exp(others - most), 0)
    own = tl.load(scores + slots, mask=held, other=float("-inf"))
    share = tl.exp(own - most) / evidence
    tl.store(posterior + row, share, mask=held)
    gradients = -errors * (share / (tl.load(variance) * count))[:, None]
    _store(blame, row, d, gradients, held, width, width)
    one = tl.full([BLOCK_S], 1, share.dtype)
    tl.store(hidden_side + row * hidden_stride + hidden, one, mask=held)
    behind = latent_side + row * latent_stride + latents
    tl.store(behind, tl.sum(errors * errors, 1), mask=held)
    tl.store(behind + 1, one * (most + tl.log(evidence)), mask=held)
    tl.store(behind + 2, one, mask=held)
    for start in range(0, hidden, BLOCK_F):
        f = start + tl.arange(0, BLOCK_F)
        level = hidden_level(pool, slots, held, rows, first, f, latents, hidden, BLOCK_H)
        weight = tl.trans(matrix(weights, f, d, hidden, width))
        down = tl.dot(gradients, weight, input_precision="ieee", out_dtype=gradients.dtype)
        _store(back, row, f, tl.where(level > 0, down, leak * down), held, hidden, hidden)
        _store(hidden_side, row, f, activated(level, leak), held, hidden, hidden_stride)
    for start in range(0, latents, BLOCK_H):
        h = start + tl.arange(0, BLOCK_H)
        on = bits_of(pool, slots, h, held, latents).to(gradients.dtype)
        _store(latent_side, row, h, on, held, latents, latent_stride)
