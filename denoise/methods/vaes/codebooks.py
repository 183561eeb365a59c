"""Codebooks: the nearest codes of vectors, and gradients that pass by them."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_codes(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """Number of the code with the least Euclidean distance (eq. 1).

    Parameters
    ----------
    vectors : (N, M, d)
    codebooks : (M, K, d)

    Returns
    -------
    (N, M) int64
    """
    return half_distances(vectors, codebooks).argmin(-1)


def half_distances(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """Half of the squared distances, but for what does not depend on the code: (N, M, K)."""
    products = torch.einsum("nmd,mkd->nmk", vectors, codebooks)
    distances: Tensor = 0.5 * codebooks.square().sum(-1) - products
    return distances


def straight_through(vectors: Tensor, codes: Tensor) -> Tensor:
    """The value of `codes` with the gradient of `vectors`."""
    return vectors + (codes - vectors).detach()
