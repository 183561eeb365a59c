"""Truncated posteriors over the components of a mixture, improved by local search.

Every patch keeps a few components, as if all others had no posterior probability; this gives the
tightest variational bound that so few components allow. A step of the search tries those that
resemble the kept ones, by lists of neighbours, and some random ones. Distances between components
are estimated from what was computed anyway, so that no step looks at all of them.

After Salwig, Kahlke, Hirschberger, Forster, Lücke, arXiv 2501.12299, and Hirschberger, Forster,
Lücke, "A variational EM acceleration for efficient clustering at very large scales", IEEE TPAMI
2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.methods.mfa.factor_analysers import FactorAnalysers

# Patches whose distances to all means are computed at a time.
CHUNK_SIZE = 4096


@dataclass(frozen=True)
class TruncatedPosteriors:
    """The kept components of N patches.

    Attributes
    ----------
    components : (N, C') int64, the likeliest first
    log_joints : (N, C'), log p(x, c)
    """

    components: Tensor
    log_joints: Tensor

    @property
    def bounds(self) -> Tensor:
        """Lower bounds of log p(x), in nats: (N,)."""
        return self.log_joints.logsumexp(1)

    @property
    def probabilities(self) -> Tensor:
        """q(c): (N, C'), sums over C' are 1."""
        return self.log_joints.softmax(1)


@dataclass(frozen=True)
class Trials:
    """What a step of the search has tried.

    Attributes
    ----------
    components : (N, T) int64
    log_joints : (N, T), log p(x, c); -inf where a component stands in its row a second time
    """

    components: Tensor
    log_joints: Tensor

    def best(self, kept: int) -> TruncatedPosteriors:
        """The `kept` likeliest components of each patch."""
        best = self.log_joints.topk(kept, 1)
        return TruncatedPosteriors(self.components.gather(1, best.indices), best.values)

    def neighbours(self, before: Tensor) -> Tensor:
        """For each component those of the least estimated distance, itself first: (K, G) int64.

        The distance from c to c' is the mean of log p(x, c) - log p(x, c') over patches whose best
        component is c: the Kullback-Leibler divergence, but for the weights of the components.

        Parameters
        ----------
        before : (K, G) int64, the lists that stay where too few distances are known
        """
        count, length = before.shape
        highest, best = self.log_joints.max(1, keepdim=True)
        first = self.components.gather(1, best).expand_as(self.components)
        known = self.log_joints > -torch.inf
        places = (first[known], self.components[known])
        excess = (highest - self.log_joints)[known]
        sums = excess.new_zeros(count, count).index_put(places, excess, accumulate=True)
        ones = torch.ones_like(excess)
        trials = torch.zeros_like(sums).index_put(places, ones, accumulate=True)
        distances = torch.where(trials > 0, sums / trials, torch.inf).fill_diagonal_(-1.0)
        found = distances.topk(length, 1, largest=False)
        enough = found.values[:, -1:] < torch.inf
        return torch.where(enough, found.indices, before)


def nearest_means(patches: Tensor, means: Tensor, count: int) -> Tensor:
    """The components whose means are nearest to each patch, to start from: (N, count) int64."""
    origin = means.mean(0)
    centred = means - origin
    lengths = 0.5 * centred.square().sum(1)
    parts = patches.split(CHUNK_SIZE)
    found = [((part - origin) @ centred.T - lengths).topk(count, 1).indices for part in parts]
    return torch.cat(found)


def try_components(
    mixture: FactorAnalysers,
    patches: Tensor,
    kept: Tensor,
    neighbours: Tensor,
    *,
    random_tries: int = 0,
    generator: torch.Generator | None = None,
) -> Trials:
    """Try the neighbours of each patch's components, and some drawn at random.

    A component is a neighbour of itself, so that the best of what was tried are at least as good
    as those that were kept.

    Parameters
    ----------
    patches : (N, D)
    kept : (N, C') int64, the components of each patch so far
    neighbours : (K, G) int64
    random_tries : components drawn for each patch
    generator : on the CPU; needed for random tries only
    """
    lists = [(slot, neighbours) for slot in kept.unbind(1)]
    everyone = torch.arange(len(mixture), device=patches.device)[:, None]
    for _ in range(random_tries):
        drawn = torch.randint(len(mixture), (len(patches),), generator=generator)
        lists.append((drawn.to(patches.device), everyone))
    components = torch.cat([choices[slot] for slot, choices in lists], 1)
    log_joints = torch.cat(
        [_log_joints(mixture, patches, slot, choices) for slot, choices in lists], 1
    )
    return Trials(components, torch.where(_repeated(components), -torch.inf, log_joints))


def members(components: Tensor) -> Iterator[tuple[int, Tensor]]:
    """For each number in `components` (N,) that number and the rows where it stands."""
    numbers, counts = components.unique(return_counts=True)
    rows = components.argsort(stable=True).split(counts.tolist())
    yield from zip(numbers.tolist(), rows, strict=True)


def _log_joints(mixture: FactorAnalysers, patches: Tensor, slot: Tensor, choices: Tensor) -> Tensor:
    """Of each patch, which has the component `slot` (N,), with those in its row of `choices`."""
    found = patches.new_empty(len(slot), choices.shape[1])
    for component, rows in members(slot):
        found[rows] = mixture.log_joints(patches[rows], component, choices[component])
    return found


def _repeated(numbers: Tensor) -> Tensor:
    """Whether the same number stands further left in its row: (N, T) bool."""
    ordered, order = numbers.sort(dim=1, stable=True)
    repeats = torch.zeros_like(ordered, dtype=torch.bool)
    repeats[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(repeats).scatter_(1, order, repeats)
