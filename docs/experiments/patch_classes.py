"""Sorts clean patches into flat ones, edges by orientation, and texture."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CLASSES = ("flat", "edge 0°", "edge 135°", "edge 90°", "edge 45°", "texture")
# A patch is flat where its gradient is below this on the mean, in gray levels per pixel.
FLAT = 6.0
# An edge has this coherence of the structure tensor or more: 0 has no direction, 1 only one.
COHERENT = 0.5


def classify(patches: Tensor) -> Tensor:
    """Number of the class in `CLASSES` of each patch: (N, p, p, C) -> (N,) int64.

    By the structure tensor, the mean outer product of gradients over the patch (Bigün, Granlund
    1987): its trace is the energy, and the angle of its first eigenvector the direction across an
    edge, which is rounded to 45 degrees.
    """
    down = patches[:, 1:, :-1] - patches[:, :-1, :-1]
    right = patches[:, :-1, 1:] - patches[:, :-1, :-1]
    rows, columns, both = (
        part.flatten(1).mean(1) for part in (down.square(), right.square(), down * right)
    )
    energy = rows + columns
    coherence = ((columns - rows).square() + 4 * both.square()).sqrt() / energy.clamp(min=1e-12)
    across = 0.5 * torch.atan2(2 * both, columns - rows)  # 0: to the right; pi / 2: down
    # A gradient that points down lies across a horizontal edge, the first of the orientations.
    orientation = ((across - math.pi / 2) / (math.pi / 4)).round().long() % 4
    classes = torch.where(coherence >= COHERENT, 1 + orientation, len(CLASSES) - 1)
    return torch.where(energy.sqrt() < FLAT, 0, classes)
