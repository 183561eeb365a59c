"""Estimate the standard deviation of white Gaussian noise from the noisy image alone.

The covariance of small patches tells the directions in which the image has structure from those in
which it has almost none (Pyatykh, Hesser, Zheng 2013; Chen, Zhu, Heng 2015). Patches with no
more energy in the former than noise has are flat (weak texture: Liu, Tanaka, Okutomi 2012), and
on them the noise is measured in the latter. White noise is independent in the two, so that the
choice of patches does not bias the measure. Nor does the order of the eigenvalues: directions
come from one half of the patches and the measure from the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError

SMALLEST_SIDE = 16
PATCH_SIZE = 7
# Larger images are seen through a regular subset of at most so many patches.
MOST_PATCHES = 2**16
# Side of the squares of patches that take turns in giving directions and being measured.
FOLD_SIDE = 8
# Share of the directions, those of least variance, in which the noise is measured.
QUIET_SHARE = 0.25
# A patch is flat if in the other directions it has at most this share of the noise's energy.
FLATNESS = 0.9
# Where fewer are flat, this share and at least this number of the flattest patches are taken.
LEAST_SHARE, LEAST_PATCHES = 0.01, 40
# A limit of the range counts as clipping if this share of the values lies on it; the mean of a
# patch then keeps so many sigma away from it, if this share of the patches does.
CLIPPED_SHARE, CLIPPING_DISTANCE, UNCLIPPED_SHARE = 1e-3, 2.0, 0.1
# What rounding of numbers leaves, as a share of the range.
NEGLIGIBLE = 1e-5
# Brightness and two colour differences, in which photographs have little texture.
OPPONENT_AXES = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])


@dataclass(frozen=True)
class _Patches:
    """Patches of an image without missing values: values (N, C, D) and fold (N,), 0 or 1."""

    values: NDArray[np.float64]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.fold)

    def __getitem__(self, rows: NDArray[np.bool_]) -> _Patches:
        return _Patches(self.values[rows], self.fold[rows])


def estimate_sigma(image: ArrayLike) -> float:
    """Standard deviation of the white Gaussian noise in an image.

    Where many values lie at a limit of the range they are taken for clipped, and patches near
    that limit are left out.

    Parameters
    ----------
    image : (height, width) or (height, width, C) real numbers of any range, NaN where missing

    Returns
    -------
    float, in the units of `image`; 0.0 if most of the image has no noise at all. The noise of
        C channels is taken to be alike: the root of their mean variance. Noise that is smooth,
        as demosaicking and JPEG compression leave it, is underestimated.

    Raises
    ------
    ImageError
        If the array is no image, holds infinite values, or too little to measure on.
    """
    pixels = _as_pixels(image)
    patches = _extract(pixels)
    _check_enough(patches)
    varied = np.ptp(patches.values, axis=2).any(1)
    if varied.mean() < 0.5:
        return 0.0
    patches = patches[varied]  # without frames and patches that are clipped altogether
    _check_enough(patches)
    distance = _distance_from_clipping(pixels, patches)
    if np.isinf(distance).all():
        variance = _noise_variance(patches)
    else:
        share = max(UNCLIPPED_SHARE, 2 * LEAST_PATCHES / len(patches))
        farthest = float(np.quantile(distance, 1 - share))
        kept = float(np.median(distance))
        for _ in range(3):
            variance = _noise_variance(patches[distance >= min(kept, farthest)])
            kept = CLIPPING_DISTANCE * math.sqrt(variance)
    sigma = math.sqrt(variance)
    return sigma if sigma > NEGLIGIBLE * (np.nanmax(pixels) - np.nanmin(pixels)) else 0.0


def _as_pixels(image: ArrayLike) -> NDArray[np.float64]:
    """(height, width, C) float64."""
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim not in (2, 3):
        raise ImageError(
            f"expected (height, width) or (height, width, C), got shape {pixels.shape}"
        )
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"the image is {width}x{height} pixels, too small to estimate its noise; give sigma"
        )
    if np.isinf(pixels).any():
        raise ImageError("the image holds infinite values; mark missing ones as NaN")
    return pixels.reshape(height, width, -1)


def _check_enough(patches: _Patches) -> None:
    if len(patches) < 2 * LEAST_PATCHES or min(np.bincount(patches.fold, minlength=2)) == 0:
        raise ImageError("the image has too few complete patches to estimate its noise; give sigma")


def _extract(pixels: NDArray[np.float64]) -> _Patches:
    windows = sliding_window_view(pixels, (PATCH_SIZE, PATCH_SIZE), axis=(0, 1))
    step = math.ceil(math.sqrt(windows.shape[0] * windows.shape[1] / MOST_PATCHES))
    windows = windows[::step, ::step]
    height, width, channels = windows.shape[:3]
    rows, columns = np.mgrid[:height, :width] // FOLD_SIDE
    fold = ((rows + columns) % 2).ravel()
    values = windows.reshape(height * width, channels, -1)
    complete = ~np.isnan(values.sum((1, 2)))
    return _Patches(values, fold)[complete]


def _distance_from_clipping(pixels: NDArray[np.float64], patches: _Patches) -> NDArray[np.float64]:
    """How far the means of each patch stay from a clipped end of the range: (N,)."""
    means = patches.values.mean(2)
    lowest, highest = np.nanmin(pixels), np.nanmax(pixels)
    distance = np.full(len(patches), np.inf)
    if np.mean(pixels == lowest) > CLIPPED_SHARE:
        distance = np.minimum(distance, means.min(1) - lowest)
    if np.mean(pixels == highest) > CLIPPED_SHARE:
        distance = np.minimum(distance, highest - means.max(1))
    return distance


def _noise_variance(patches: _Patches) -> float:
    """Mean over axes of colour; one with texture counts no more than those that look white."""
    values = patches.values
    if values.shape[1] == 3:
        values = np.einsum("ac,ncd->nad", OPPONENT_AXES, values)
    values = values - values.mean(2, keepdims=True)
    axes = [_variance_along(values[:, axis], patches.fold) for axis in range(values.shape[1])]
    trusted = max((variance for variance, white in axes if white), default=math.inf)
    return float(np.mean([min(variance, trusted) for variance, _ in axes]))


def _variance_along(values: NDArray[np.float64], fold: NDArray[np.int64]) -> tuple[float, bool]:
    """Variance of the noise of patches (N, D) of mean 0, and whether enough of them are flat."""
    directions = values.shape[1] - 1  # the mean is gone
    count = round(QUIET_SHARE * directions)
    quiet, other = np.empty(len(values)), np.empty(len(values))  # energy per direction
    for measured in (0, 1):
        learned_from, rows = values[fold != measured], fold == measured
        _, vectors = np.linalg.eigh(learned_from.T @ learned_from)  # ascending
        energy = np.square(values[rows] @ vectors[:, 1:])
        quiet[rows] = energy[:, :count].mean(1)
        other[rows] = energy[:, count:].mean(1)
    least = min(max(LEAST_PATCHES, round(LEAST_SHARE * len(values))), len(values))
    flattest = np.argpartition(other, least - 1)[:least]
    variance, white = float(quiet[flattest].mean()), False
    for _ in range(5):
        flat = other <= FLATNESS * variance
        white = variance > 0 and int(flat.sum()) >= least
        if not white:
            break
        variance = float(quiet[flat].mean())
    return variance, white
