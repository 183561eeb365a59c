"""Random numbers that belong to a patch, not to a batch.

A `torch.Generator` hands out numbers in the order of the calls, so that what a
patch gets depends on which patches were served before it. The search instead
asks a hash of (seed, epoch, patch, position): the same patch gets the same
numbers whatever the chunk size, the order and the device.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_LOW_31_BITS = 0x7FFFFFFF
# The hash maps 0 to 0, so something is added first.
_OFFSET = 0x1E3779B9


def _scramble(x: Tensor) -> Tensor:
    """Bijective 32-bit hash (the "lowbias32" constants of C. Wellons), on int32 in place."""
    # `>>` keeps the sign on int32, hence the masks.
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= -0x7B935975  # 0x846CA68B
    x ^= (x >> 16) & 0xFFFF
    return x


@lru_cache(maxsize=64)
def stream_of(key: tuple[int, ...]) -> int:
    """The number of the stream that integers name, such as (seed, epoch); 32 bits, signed."""
    # On the CPU, and once for the many batches of an epoch: a GPU would be asked dozens of times.
    stream = torch.zeros(1, dtype=torch.int32)
    for word in key:
        stream = _scramble(stream + _OFFSET + (word & _LOW_31_BITS))
    return int(stream)


class PatchRandom:
    """Uniform random numbers keyed by (key, patch, call, position).

    Parameters
    ----------
    key : integers that name the stream, such as (seed, epoch); 31 bits of each count
    index : (N,) int64, number of each patch in its image
    """

    def __init__(self, key: tuple[int, ...], index: Tensor) -> None:
        self._keys = _scramble(index.to(torch.int32) + (stream_of(key) + _OFFSET))
        self._calls = 0

    def uniform(self, *shape: int) -> Tensor:
        """The next numbers of every patch, in (0, 1): (N, *shape) float32."""
        self._calls += 1
        count = torch.Size(shape).numel()
        keys = _scramble(self._keys + self._calls * 0x3C6EF372)
        position = torch.arange(count, dtype=torch.int32, device=keys.device)
        bits = _scramble(keys[:, None] + position * _OFFSET)
        # 23 random bits and a half: exact in float32, and never 0 or 1.
        uniform = ((bits >> 9) & 0x7FFFFF).to(torch.float32).add_(0.5).mul_(2.0**-23)
        return uniform.reshape(len(keys), *shape)

    def gumbel(self, *shape: int) -> Tensor:
        """Standard Gumbel noise: the largest of `logits + gumbel` is a draw from their softmax."""
        return self.uniform(*shape).log_().neg_().log_().neg_()


def choose_by_weight(log_weights: Tensor, count: int, random: PatchRandom) -> Tensor:
    """Draw `count` entries of the last axis in proportion to exp(`log_weights`).

    Without replacement (the Gumbel-top-k rule); entries at -inf come last.

    Parameters
    ----------
    log_weights : (N, ..., K) float
    random : random numbers of the N patches

    Returns
    -------
    (N, ..., count) int64
    """
    noise = random.gumbel(*log_weights.shape[1:])
    return (log_weights + noise).topk(count, dim=-1).indices
