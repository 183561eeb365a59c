"""Truncated posteriors: the S distinct latent states that are kept for every patch.

`LatentStates` holds every bit. Where few latents can be on, `SparseStates` lists those that
are, in a thirtieth of the memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations, islice
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.randomness import PatchRandom


class _Scored(ABC):
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
class LatentStates(_Scored):
    """S distinct binary states for each of N patches (K in the papers) and their log joints.

    Attributes
    ----------
    states : (N, S, H) bool
    log_joints : (N, S) float, log p(x_n, z); -inf marks an empty place
    """

    states: Tensor
    log_joints: Tensor

    def __getitem__(self, rows: Tensor | slice) -> LatentStates:
        return LatentStates(self.states[rows], self.log_joints[rows])

    def write(self, rows: Tensor | slice, other: StateSets) -> None:
        """Replace the sets of patches `rows`."""
        self.states[rows] = other.states
        self.log_joints[rows] = other.log_joints

    def take(self, chosen: Tensor) -> LatentStates:
        """States number `chosen` (N, M) of every patch."""
        rows = torch.arange(len(self), device=chosen.device)[:, None]
        return LatentStates(self.states[rows, chosen], self.log_joints[rows, chosen])

    def merged(self, *others: LatentStates) -> LatentStates:
        """The S best distinct states of all sets; the kept log joints can only rise."""
        states = torch.cat([self.states, *(other.states for other in others)], 1)
        log_joints = torch.cat([self.log_joints, *(other.log_joints for other in others)], 1)
        log_joints = log_joints.masked_fill(duplicates(states), -torch.inf)
        return LatentStates(states, log_joints).best(self.states.shape[1])


@dataclass(frozen=True)
class SparseStates(_Scored):
    """The same for states with at most K latents on.

    Attributes
    ----------
    active : (N, S, K) int16, the latents that are on, in any order, then H
    log_joints : (N, S) float, log p(x_n, z); -inf marks an empty place
    latents : number H of latents
    """

    active: Tensor
    log_joints: Tensor
    latents: int

    @classmethod
    def of(cls, sets: LatentStates, most_active: int) -> SparseStates:
        """The same sets; `most_active` is K."""
        latents = sets.states.shape[-1]
        index = torch.arange(latents, dtype=torch.int16, device=sets.states.device)
        index = torch.where(sets.states, index, latents)
        count = min(most_active, latents)
        active = index.topk(count, largest=False, sorted=True).values
        active = pad(active, (0, most_active - count), value=latents)
        return cls(active.to(torch.int16), sets.log_joints, latents)

    @property
    def states(self) -> Tensor:
        """Every bit: (N, S, H) bool."""
        shape = (*self.log_joints.shape, self.latents + 1)
        states = torch.zeros(shape, dtype=torch.bool, device=self.active.device)
        return states.scatter_(2, self.active.long(), True)[..., :-1]

    def take(self, chosen: Tensor) -> SparseStates:
        """States number `chosen` (N, M) of every patch."""
        rows = torch.arange(len(self), device=chosen.device)[:, None]
        return SparseStates(self.active[rows, chosen], self.log_joints[rows, chosen], self.latents)

    def __getitem__(self, rows: Tensor | slice) -> SparseStates:
        return SparseStates(self.active[rows], self.log_joints[rows], self.latents)

    def write(self, rows: Tensor | slice, other: StateSets) -> None:
        """Replace the sets of patches `rows`."""
        lists = other if isinstance(other, SparseStates) else self.of(other, self.active.shape[2])
        self.active[rows] = lists.active
        self.log_joints[rows] = lists.log_joints


StateSets = LatentStates | SparseStates


def duplicates(states: Tensor) -> Tensor:
    """Mark every state that repeats an earlier one of the same patch.

    States are compared by a hash of three sums of random keys. Two different
    ones meet with a probability of 2^-40 or less; then one of them is not kept.

    Parameters
    ----------
    states : (N, K, H) bool

    Returns
    -------
    (N, K) bool
    """
    codes, order = _hash(states).sort(dim=1, stable=True)
    repeats = torch.zeros_like(codes, dtype=torch.bool)
    repeats[:, 1:] = codes[:, 1:] == codes[:, :-1]
    return torch.empty_like(repeats).scatter_(1, order, repeats)


def _hash(states: Tensor) -> Tensor:
    """One int64 per state: three sums of random keys, each exact in float32."""
    keys = _hash_keys(states.shape[-1], states.device)
    sums = (states.to(torch.float32) @ keys).to(torch.int64)
    return sums[..., 0] + (sums[..., 1] << 24) + (sums[..., 2] << 40)


@cache
def _hash_keys(latents: int, device: torch.device) -> Tensor:
    """Whole numbers whose sums over all latents stay below 2^24: (H, 3) float32."""
    digits = 24 - latents.bit_length()
    generator = torch.Generator().manual_seed(20221113)
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


def no_latents_on(count: int, latents: int, most_active: int, like: Tensor) -> SparseStates:
    """For each row of `like`, one state without latents and `count` - 1 empty places."""
    shape = (len(like), count, most_active)
    active = torch.full(shape, latents, dtype=torch.int16, device=like.device)
    log_joints = like.new_full((len(like), count), -torch.inf)
    log_joints[:, 0] = 0
    return SparseStates(active, log_joints, latents)


def most_used_states(states: StateSets, count: int) -> Tensor:
    """States that are the likeliest of the most patches: (M, H) bool, M <= `count`."""
    best = states.best(1).states[:, 0]
    codes, order = _hash(best).sort(stable=True)
    uses = codes.unique_consecutive(return_counts=True)[1]
    first = order[uses.cumsum(0) - uses]  # one patch for each distinct state
    return best[first[uses.argsort(descending=True, stable=True)[:count]]]
