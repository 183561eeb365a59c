"""Truncated posteriors over codes: the likeliest states are expanded into their neighbours.

A state is one code for each of M slots; its neighbours differ in one slot, and the encoder
proposes which codes are worth a try there. As with binary states (vae/best_first.py), the likeliest
state that has not been expanded is the next one, and only better states replace others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodeStates:
    """S distinct states for each of N patches.

    Attributes
    ----------
    codes : (N, S, M) int64
    log_joints : (N, S) float, log p(x_n, z); -inf marks an empty place
    """

    codes: Tensor
    log_joints: Tensor

    def elbo(self) -> Tensor:
        """Log of the sum of the joint over the set: (N,)."""
        return self.log_joints.logsumexp(1)

    def weights(self) -> Tensor:
        """The posterior, normalised over the set: (N, S)."""
        return self.log_joints.softmax(1)


def search(
    log_joints: Callable[[Tensor], Tensor],
    start: Tensor,
    candidates: Tensor,
    *,
    states: int,
    expansions: int,
) -> CodeStates:
    """Expand the likeliest states; the ELBO of no patch falls from one expansion to the next.

    Parameters
    ----------
    log_joints : from states (N, S', M) to log p(x_n, z): (N, S')
    start : (N, S', M) int64, states to start from, repeats allowed
    candidates : (N, M, T) int64, codes that are tried in each slot
    states : number S of states that are kept
    expansions : states of each patch that are expanded
    """
    codes, scores = _distinct_best(start, log_joints(start), states)
    expanded = torch.zeros_like(scores, dtype=torch.bool)
    rows = torch.arange(len(codes), device=codes.device)
    for _ in range(expansions):
        chosen = scores.masked_fill(expanded, -torch.inf).argmax(1)
        expanded[rows, chosen] = True
        children = neighbours(codes[rows, chosen], candidates)
        everything = torch.cat([codes, children], 1)
        joints = torch.cat([scores, log_joints(children)], 1)
        done = torch.cat([expanded, expanded.new_zeros(children.shape[:2])], 1)
        order = _order(everything, joints, states)
        codes, scores = everything[rows[:, None], order[0]], order[1]
        expanded = done.gather(1, order[0])
    return CodeStates(codes, scores)


def neighbours(codes: Tensor, candidates: Tensor) -> Tensor:
    """States that differ from `codes` (N, M) in at most one slot: (N, M·T, M)."""
    slots, tried = candidates.shape[1:]
    children = codes[:, None, None].repeat(1, slots, tried, 1)
    slot = torch.arange(slots, device=codes.device)
    children[:, slot, :, slot] = candidates.transpose(0, 1)
    return children.flatten(1, 2)


def _distinct_best(codes: Tensor, log_joints: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best states; missing ones repeat the first with -inf."""
    places, scores = _order(codes, log_joints, min(count, codes.shape[1]))
    codes = codes.gather(1, places[..., None].expand(-1, -1, codes.shape[2]))
    empty = count - codes.shape[1]
    codes = torch.cat([codes, codes[:, :1].expand(-1, empty, -1)], 1)
    return codes, torch.cat([scores, scores.new_full((len(scores), empty), -torch.inf)], 1)


def _order(codes: Tensor, log_joints: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Places and log joints of the `count` best distinct states: (N, count) each."""
    repeats = _repeats(codes, log_joints)
    best = log_joints.masked_fill(repeats, -torch.inf).topk(count, dim=1)
    return best.indices, best.values


def _repeats(codes: Tensor, log_joints: Tensor) -> Tensor:
    """Mark states that repeat an earlier one of the same patch, and empty places: (N, S)."""
    names = _names(codes).masked_fill(log_joints.isneginf(), -1)
    ordered, order = names.sort(dim=1, stable=True)
    repeated = torch.zeros_like(ordered, dtype=torch.bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeated |= ordered < 0
    return torch.empty_like(repeated).scatter_(1, order, repeated)


def _names(codes: Tensor) -> Tensor:
    """One number for each state (..., M), the same only for equal ones but for hash collisions."""
    name = codes[..., 0]
    for slot in range(1, codes.shape[-1]):
        # A multiplier from the golden ratio; int64 wraps around.
        name = (name ^ (name >> 29)) * 0x1E3779B97F4A7C15 + codes[..., slot]
    return name & 0x7FFFFFFFFFFFFFFF
