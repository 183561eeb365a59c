"""Sets of states as they are kept between the steps.

`PackedStates` takes an eighth of the memory of `LatentStates` and, where few latents can be on,
`SparseStates`, which lists those that are, a thirtieth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from denoise.patches import Rows
from denoise.vae.states import LatentStates, Scored, state_codes


@dataclass(frozen=True)
class PackedStates(Scored):
    """States with eight latents in a byte, the first one in its lowest bit.

    Attributes
    ----------
    packed : (N, S, ceil(H / 8)) uint8
    log_joints : (N, S) float, log p(x_n, z); -inf marks an empty place
    latents : number H of latents
    """

    packed: Tensor
    log_joints: Tensor
    latents: int

    @classmethod
    def of(cls, sets: StateSets) -> PackedStates:
        """The same sets."""
        bits = sets.bits
        latents = bits.shape[-1]
        bits = pad(bits, (0, -latents % 8)).to(torch.uint8)
        packed = torch.zeros_like(bits[..., ::8])
        for number in range(8):
            packed |= bits[..., number::8] << number
        return cls(packed, sets.log_joints, latents)

    @property
    def bits(self) -> Tensor:
        """Every bit: (N, S, H) bool."""
        numbers = torch.arange(8, dtype=torch.uint8, device=self.packed.device)
        bits = (self.packed[..., None] >> numbers) & 1
        return bits.bool().flatten(-2)[..., : self.latents]

    def take(self, chosen: Tensor) -> PackedStates:
        """States number `chosen` (N, M) of every patch."""
        rows = torch.arange(len(self), device=chosen.device)[:, None]
        return PackedStates(self.packed[rows, chosen], self.log_joints[rows, chosen], self.latents)

    def __getitem__(self, rows: Rows) -> PackedStates:
        return PackedStates(self.packed[rows], self.log_joints[rows], self.latents)

    def write(self, rows: Rows, other: StateSets) -> None:
        """Replace the sets of patches `rows`."""
        packed = other if isinstance(other, PackedStates) else self.of(other)
        self.packed[rows] = packed.packed
        self.log_joints[rows] = packed.log_joints


@dataclass(frozen=True)
class SparseStates(Scored):
    """States with at most K latents on.

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
    def of(cls, sets: StateSets, most_active: int) -> SparseStates:
        """The same sets; `most_active` is K."""
        bits = sets.bits
        latents = bits.shape[-1]
        index = torch.arange(latents, dtype=torch.int16, device=bits.device)
        index = torch.where(bits, index, latents)
        count = min(most_active, latents)
        active = index.topk(count, largest=False, sorted=True).values
        active = pad(active, (0, most_active - count), value=latents)
        return cls(active.to(torch.int16), sets.log_joints, latents)

    @property
    def bits(self) -> Tensor:
        """Every bit: (N, S, H) bool."""
        shape = (*self.log_joints.shape, self.latents + 1)
        bits = torch.zeros(shape, dtype=torch.bool, device=self.active.device)
        return bits.scatter_(2, self.active.long(), True)[..., :-1]

    def take(self, chosen: Tensor) -> SparseStates:
        """States number `chosen` (N, M) of every patch."""
        rows = torch.arange(len(self), device=chosen.device)[:, None]
        return SparseStates(self.active[rows, chosen], self.log_joints[rows, chosen], self.latents)

    def __getitem__(self, rows: Rows) -> SparseStates:
        return SparseStates(self.active[rows], self.log_joints[rows], self.latents)

    def write(self, rows: Rows, other: StateSets) -> None:
        """Replace the sets of patches `rows`."""
        lists = other if isinstance(other, SparseStates) else self.of(other, self.active.shape[2])
        self.active[rows] = lists.active
        self.log_joints[rows] = lists.log_joints


StoredStates = PackedStates | SparseStates
StateSets = LatentStates | StoredStates


def no_latents_on(count: int, latents: int, most_active: int, like: Tensor) -> SparseStates:
    """For each row of `like`, one state without latents and `count` - 1 empty places."""
    shape = (len(like), count, most_active)
    active = torch.full(shape, latents, dtype=torch.int16, device=like.device)
    log_joints = like.new_full((len(like), count), -torch.inf)
    log_joints[:, 0] = 0
    return SparseStates(active, log_joints, latents)


def most_used_states(states: StateSets, count: int) -> Tensor:
    """States that are the likeliest of the most patches: (M, H) bool, M <= `count`."""
    best = states.best(1).bits[:, 0]
    codes, order = state_codes(best).sort(stable=True)
    uses = codes.unique_consecutive(return_counts=True)[1]
    first = order[uses.cumsum(0) - uses]  # one patch for each distinct state
    return best[first[uses.argsort(descending=True, stable=True)[:count]]]
