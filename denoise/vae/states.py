"""Truncated posteriors: the S distinct latent states that are kept for every patch.

`LatentStates` holds every bit as a bool, to work on; `stored_states.py` has what takes less memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations, islice
from typing import Self

import torch
from torch import Tensor

from denoise.kernels.constants import SEED
from denoise.vae.randomness import PatchRandom


class Scored(ABC):
    """What follows from the log joints alone."""

    log_joints: Tensor

    def __len__(self) -> int:
        return len(self.log_joints)

    def elbo(self) -> Tensor:
        """ELBO of each patch, log of the sum over its states of p(x_n, z): (N,).

        The papers write F and call it free energy (Drefs et al. 2022).
        """
        return self.log_joints.logsumexp(1)

    def posterior_weights(self) -> Tensor:
        """q_n(z), the joint normalised over the set (Drefs et al. 2022): (N, S)."""
        return self.log_joints.softmax(1)

    @abstractmethod
    def take(self, chosen: Tensor) -> Self:
        """States number `chosen` (N, M) of every patch."""

    def best(self, count: int) -> Self:
        """The `count` likeliest states of every patch, log joints descending."""
        return self.take(self.log_joints.topk(count, dim=1).indices)


@dataclass(frozen=True)
class LatentStates(Scored):
    """S distinct binary states for each of N patches (K in the papers) and their log joints.

    Attributes
    ----------
    bits : (N, S, H) bool
    log_joints : (N, S) float, log p(x_n, z); -inf marks an empty place
    """

    bits: Tensor
    log_joints: Tensor

    def __getitem__(self, rows: Tensor | slice) -> LatentStates:
        return LatentStates(self.bits[rows], self.log_joints[rows])

    def take(self, chosen: Tensor) -> LatentStates:
        """States number `chosen` (N, M) of every patch."""
        rows = torch.arange(len(self), device=chosen.device)[:, None]
        return LatentStates(self.bits[rows, chosen], self.log_joints[rows, chosen])

    def merged(self, *others: LatentStates) -> LatentStates:
        """The S best distinct states of all sets; the kept log joints can only rise."""
        bits = torch.cat([self.bits, *(other.bits for other in others)], 1)
        log_joints = torch.cat([self.log_joints, *(other.log_joints for other in others)], 1)
        log_joints = log_joints.masked_fill(duplicates(bits), -torch.inf)
        return LatentStates(bits, log_joints).best(self.bits.shape[1])


def flip_bits(bits: Tensor, chosen: Tensor) -> Tensor:
    """One child for each bit number `chosen` (N, P, M) of states (N, P, H): (N, P·M, H)."""
    flips = bits.new_zeros(*chosen.shape, bits.shape[-1]).scatter_(-1, chosen[..., None], True)
    return (bits[:, :, None] ^ flips).flatten(1, 2)


def duplicates(bits: Tensor) -> Tensor:
    """Mark every state that repeats an earlier one of the same patch.

    States are compared by a hash of three sums of random keys. Two different
    ones meet with a probability of 2^-40 or less; then one of them is not kept.

    Parameters
    ----------
    bits : (N, K, H) bool

    Returns
    -------
    (N, K) bool
    """
    codes, order = state_codes(bits).sort(dim=1, stable=True)
    repeats = torch.zeros_like(codes, dtype=torch.bool)
    repeats[:, 1:] = codes[:, 1:] == codes[:, :-1]
    return torch.empty_like(repeats).scatter_(1, order, repeats)


def state_codes(bits: Tensor) -> Tensor:
    """One int64 per state (..., H): three sums of random keys, each exact in float32."""
    keys = _hash_keys(bits.shape[-1], bits.device)
    sums = (bits.to(torch.float32) @ keys).to(torch.int64)
    return sums[..., 0] + (sums[..., 1] << 24) + (sums[..., 2] << 40)


@cache
def _hash_keys(latents: int, device: torch.device) -> Tensor:
    """Whole numbers whose sums over all latents stay below 2^24: (H, 3) float32."""
    digits = 24 - latents.bit_length()
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(2**digits, (latents, 3), generator=generator).to(device, torch.float32)


def sparsest_states(count: int, latents: int, device: torch.device) -> Tensor:
    """The first `count` states in order of their number of ones: (count, H) bool."""
    subsets = chain.from_iterable(combinations(range(latents), k) for k in range(latents + 1))
    table = torch.zeros(count, latents, dtype=torch.bool)
    for row, subset in zip(table, islice(subsets, count), strict=True):
        row[list(subset)] = True
    return table.to(device)


def random_states(count: int, latents: int, random: PatchRandom) -> Tensor:
    """`count` distinct sparse states per patch, its latents renamed at random: (N, count, H)."""
    order = random.uniform(latents).argsort(1)  # (N, H)
    table = sparsest_states(count, latents, order.device).expand(len(order), -1, -1)
    return table.gather(2, order[:, None].expand(-1, count, -1))
