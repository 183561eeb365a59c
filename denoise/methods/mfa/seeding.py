"""Data points that are far from each other, drawn without passes over all of them.

Bachem, Lucic, Hassani, Krause, "Fast and provably good seedings for k-means", NIPS 2016:
k-means++ draws each seed in proportion to the squared distance from the seeds before it; AF-KMC2
approximates that by a Markov chain for each seed (algorithm 1).
"""

from __future__ import annotations

import torch
from torch import Tensor

# Proposals for each seed.
CHAIN_LENGTH = 50


def afkmc2(
    points: Tensor, count: int, generator: torch.Generator, chain_length: int = CHAIN_LENGTH
) -> Tensor:
    """Rows of `points` (N, D) to start from: (count,) int64.

    The first one is drawn uniformly. A row comes twice only if no other one was proposed.

    Parameters
    ----------
    chain_length : proposals for each seed; the more, the nearer to k-means++
    generator : on the CPU
    """
    seeds = torch.randint(len(points), (1,), generator=generator).to(points.device)
    squares = (points - points[seeds]).square().sum(1).cpu().double()
    proposal = squares / squares.sum().clamp(min=torch.finfo().tiny) + 1 / len(points)
    for _ in range(count - 1):
        chain = torch.multinomial(proposal, chain_length, replacement=True, generator=generator)
        thresholds = torch.rand(chain_length, generator=generator).tolist()
        places = chain.to(points.device)
        ratios = (_squared_distances(points[places], points[seeds]) / proposal[chain]).tolist()
        now = 0
        for step in range(1, chain_length):
            if ratios[step] > thresholds[step] * ratios[now]:
                now = step
        seeds = torch.cat([seeds, places[now : now + 1]])
    return seeds


def _squared_distances(points: Tensor, seeds: Tensor) -> Tensor:
    """Squared distances from points (M, D) to the nearest seeds (k, D): (M,) float64, CPU."""
    lengths = torch.cdist(points, seeds, compute_mode="donot_use_mm_for_euclid_dist")
    return lengths.amin(1).square().cpu().double()
