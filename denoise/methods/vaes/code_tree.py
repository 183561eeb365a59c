"""A prior over the codes of a patch: exact tables along a tree of slots.

Every slot but the first depends on one earlier slot, log p(z) = sum_m log p(z_m | z_parent(m)). The
tree with the largest sum of mutual informations is the likeliest one (Chow, Liu: Approximating
Discrete Probability Distributions with Dependence Trees, IEEE Transactions on Information Theory
14, 1968). It is autoregressive, as the prior that VQ-VAE learns (section 3.3 of its paper), but
its tables are learned in closed form and looked up in no time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Weights of states are counted in integers: sums do not depend on their order.
COUNT_UNIT = 2.0**-20
# A code is taken to have been seen this many times more than it was, in each table.
PSEUDO_COUNT = 0.5


class CodeTree(nn.Module):
    """p(z) of M slots with K codes each.

    Attributes
    ----------
    order : slots so that parents come first
    parents : parent of each slot, None for the first one
    log_tables : (M, K, K) float, log p(z_m = j | z_parent = i); the root's rows are all alike
    """

    log_tables: Tensor

    def __init__(self, order: list[int], parents: list[int | None], log_tables: Tensor) -> None:
        super().__init__()
        self.order = order
        self.parents = parents
        self.register_buffer("log_tables", log_tables)

    @classmethod
    def uniform(cls, slots: int, codes: int, like: Tensor) -> CodeTree:
        """All codes are equally likely and independent."""
        tables = like.new_full((slots, codes, codes), 1 / codes).log()
        return cls(list(range(slots)), [None] * slots, tables)

    @classmethod
    def of_counts(cls, pairs: Tensor) -> CodeTree:
        """The likeliest tree, but for the pseudo-counts.

        Parameters
        ----------
        pairs : (M, M, K, K) int64, how often codes i of slot a and j of slot b are met together, in
            units of `COUNT_UNIT`
        """
        counts = pairs.cpu().to(torch.float64) * COUNT_UNIT
        slots, _, codes, _ = counts.shape
        own = counts.diagonal(dim1=0, dim2=1).diagonal(dim1=0, dim2=1)  # (M, K)
        marginals = (own + PSEUDO_COUNT) / (own.sum(1, keepdim=True) + PSEUDO_COUNT * codes)
        order, parents = _widest_tree(_mutual_information(counts))
        tables = marginals[:, None].expand(slots, codes, codes).clone()
        for slot, parent in enumerate(parents):
            if parent is not None:
                met = counts[parent, slot]
                # Codes that were rarely met are as likely as without their parent.
                weight = PSEUDO_COUNT * codes**0.5
                seen = met.sum(1, keepdim=True)
                tables[slot] = (met + weight * marginals[slot]) / (seen + weight)
        return cls(order, parents, tables.log().to(pairs.device, torch.float32))

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(z), in nats: (..., M) int64 -> (...)."""
        total = self.log_tables.new_zeros(codes.shape[:-1])
        for slot, parent in enumerate(self.parents):
            given = codes[..., slot] if parent is None else codes[..., parent]
            total = total + self.log_tables[slot][given, codes[..., slot]]
        return total

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Ancestral sampling: (count, M) int64."""
        codes = torch.zeros(count, len(self.parents), dtype=torch.int64)
        for slot in self.order:
            parent = self.parents[slot]
            given = codes[:, 0] if parent is None else codes[:, parent]
            table = self.log_tables[slot].exp().cpu()
            codes[:, slot] = torch.multinomial(table[given], 1, generator=generator)[:, 0]
        return codes.to(self.log_tables.device)


def count_pairs(codes: Tensor, weights: Tensor, size: int) -> Tensor:
    """How often codes of two slots are met, for `CodeTree.of_counts`; sums of these may be added.

    Parameters
    ----------
    codes : (B, M) int64
    weights : (B,) float, in [0, 1]
    size : number K of codes

    Returns
    -------
    (M, M, K, K) int64
    """
    slots = codes.shape[1]
    units = (weights / COUNT_UNIT).round().to(torch.int64)
    pairs = torch.zeros(slots, slots, size * size, dtype=torch.int64, device=codes.device)
    for first in range(slots):
        for second in range(slots):
            place = codes[:, first] * size + codes[:, second]
            pairs[first, second].scatter_add_(0, place, units)
    return pairs.reshape(slots, slots, size, size)


def code_frequencies(row: Tensor, codes: Tensor, weights: Tensor, shape: torch.Size) -> Tensor:
    """Weights of the codes of each slot, for each patch: (N, M, K) float, as `shape` says.

    Parameters
    ----------
    row, codes, weights : (B,), (B, M), (B,), the patch, codes and weight of each state
    """
    _, slots, size = shape
    units = (weights / COUNT_UNIT).round().to(torch.int64)
    place = (row[:, None] * slots + torch.arange(slots, device=row.device)) * size + codes
    counts = torch.zeros(shape, dtype=torch.int64, device=row.device)
    counts.view(-1).scatter_add_(0, place.flatten(), units.repeat_interleave(slots))
    return counts.to(weights.dtype) * COUNT_UNIT


def _mutual_information(counts: Tensor) -> Tensor:
    """The mutual information of the codes of each two slots, in nats: (M, M, K, K) -> (M, M)."""
    joint = counts / counts.sum((2, 3), keepdim=True).clamp(min=COUNT_UNIT)
    separate = torch.special.entr(joint.sum(3)).sum(2) + torch.special.entr(joint.sum(2)).sum(2)
    information: Tensor = separate - torch.special.entr(joint).sum((2, 3))
    return information


def _widest_tree(weights: Tensor) -> tuple[list[int], list[int | None]]:
    """The spanning tree of largest total weight, from slot 0 on (Prim's algorithm)."""
    table = weights.tolist()
    order = [0]
    parents: list[int | None] = [None] * len(table)
    while len(order) < len(table):
        outside = [slot for slot in range(len(table)) if slot not in order]
        parent, slot = max(
            ((a, b) for a in order for b in outside), key=lambda edge: table[edge[0]][edge[1]]
        )
        parents[slot] = parent
        order.append(slot)
    return order, parents
