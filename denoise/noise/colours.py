"""Axes of colour space along which pictures are uncorrelated, before and after whitening."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Variance of edges along the first axis of colour difference, as a share of that of brightness: the
# median of photographs is 0.01, some have up to 0.5. Along the second it is about half as much.
COLOURFULNESS = 0.02


def opponent_axes(channels: int) -> Array:
    """Orthonormal axes of colour space, one per row, brightness first: (C, C).

    The discrete cosine transform over channels; for RGB that is R+G+B, R-B and R-2G+B. Noise
    alike in all channels stays white, and each axis can be filtered on its own.
    """
    places = np.arange(channels)
    rows = np.cos(math.pi / channels * places[:, None] * (places + 0.5))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float64)


def whitened_to_opponent(whitening: Array) -> Array:
    """The rotation (C, C) of whitened channels that makes opponent axes uncorrelated again.

    Pictures are taken to be uncorrelated along the opponent axes. Along which axes they are so
    after whitening follows from the eigenvectors of the covariance; the one with most contrast
    becomes brightness. Channels with the same noise stay what they were; one with more noise than
    the others keeps it for itself.

    Parameters
    ----------
    whitening : (C, C), makes noise white with variance 1; noise stays so, however it is turned
    """
    opponent = opponent_axes(len(whitening))
    contrast = np.append(1.0, COLOURFULNESS / np.arange(1, len(whitening)))
    spread = whitening @ opponent.T
    _, axes = np.linalg.eigh((spread * contrast) @ spread.T)
    axes = axes[:, ::-1].T
    signs = np.where(np.sum(axes * opponent, axis=1) < 0, -1.0, 1.0)
    return np.asarray(opponent.T @ (axes * signs[:, None]), np.float64)
