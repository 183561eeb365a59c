"""Measure noise on the flat patches of a noisy image.

The covariance of small patches separates the directions in which the image has structure from those
in which it has almost none (Pyatykh, Hesser, Zheng 2013; Chen, Zhu, Heng 2015). Patches with no
more energy in the former than noise has are flat (weak texture: Liu, Tanaka, Okutomi 2012), and on
them the noise is measured in the latter. White noise is independent in the two, so that the choice
of patches does not bias the measure. Nor does the order of the eigenvalues: directions come from
one half of the patches and the measure from the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError
from denoise.noise.pixels import as_pixels, clipped_range, ordinary_range

SMALLEST_SIDE = 16
PATCH_SIZE = 7
# Larger images are seen through a regular subset of at most this many patches.
MOST_PATCHES = 2**16
# These are enough to find out what sort of noise there is.
FEWER_PATCHES = 2**14
# Side of the squares of patches that take turns in giving directions and being measured.
FOLD_SIDE = 8
# Share of the directions, those of least variance, in which the noise is measured.
QUIET_SHARE = 0.25
# A patch is flat if in the other directions it has at most this share of the noise's energy.
FLATNESS = 0.9
# Where fewer are flat, this share and at least this number of the flattest patches are taken.
LEAST_SHARE, LEAST_PATCHES = 0.01, 40
# The mean of a patch keeps this many sigma away from clipping, if this share of the patches does.
CLIPPING_DISTANCE, UNCLIPPED_SHARE = 2.0, 0.1
# As a multiple of the range of the other values: larger ones only have to be large.
GIANT = 1e6


@dataclass(frozen=True)
class NoisyPatches:
    """Patches of an image without missing values.

    Attributes
    ----------
    values : (N, C, D) float64
    fold : (N,) 0 or 1, the half of the patches
    lowest, highest : where the range is clipped; -inf and inf if it is not
    complete : the share of the image's patches that have no missing value
    """

    values: NDArray[np.float64]
    fold: NDArray[np.int64]
    lowest: float
    highest: float
    complete: float

    def __len__(self) -> int:
        return len(self.fold)

    def __getitem__(self, rows: NDArray[np.bool_]) -> NoisyPatches:
        return replace(self, values=self.values[rows], fold=self.fold[rows])

    def varied(self) -> NoisyPatches:
        """Without frames and patches that are clipped altogether."""
        kept = self[np.ptp(self.values, axis=2).any(1)]
        kept.check_enough()
        return kept

    def unclipped(self, variance: float) -> NoisyPatches:
        """Those whose means keep away from clipping, or a share of them that do most."""
        means = self.values.mean(2)
        distance = np.minimum(means.min(1) - self.lowest, self.highest - means.max(1))
        if not np.isfinite(distance).all():  # neither end of the range is clipped
            return self
        share = max(UNCLIPPED_SHARE, 2 * LEAST_PATCHES / len(self))
        farthest = float(np.quantile(distance, 1 - share))
        return self[distance >= min(CLIPPING_DISTANCE * math.sqrt(variance), farthest)]

    def repeat(self) -> bool:
        """Whether most of them repeat others, as letters on a page do and noise never does."""
        values = self.values.reshape(len(self), -1)
        # Equal patches have equal sums of random multiples; others hardly ever.
        sums = values @ np.random.default_rng(0).standard_normal(values.shape[1])
        return len(np.unique(sums)) < len(self) / 2

    def check_enough(self) -> None:
        """Refuse what would not be an estimate."""
        if len(self) < 2 * LEAST_PATCHES or 0 in np.bincount(self.fold, minlength=2):
            raise ImageError("the image has too few complete patches to estimate its noise")


def noisy_patches(image: ArrayLike, most: int = MOST_PATCHES) -> NoisyPatches:
    """Patches of an image (height, width) or (height, width, C), NaN where missing.

    Of more than `most` patches, a regular subset is taken.

    Raises
    ------
    ImageError
        If the array is no image, holds infinite values, or has too few complete patches.
    """
    pixels = as_pixels(image)
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(f"the image is {width}x{height} pixels, too small to estimate its noise")
    pixels = _without_giants(pixels)
    values, fold = _extract(pixels, most)
    complete = ~np.isnan(values.sum((1, 2)))
    share = float(complete.mean())
    patches = NoisyPatches(values, fold, *clipped_range(pixels), share)[complete]
    patches.check_enough()
    return patches


def _without_giants(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values brought near the range of the others, so that their squares stay finite."""
    if np.isnan(pixels).all():
        return pixels
    lowest, highest = ordinary_range(pixels)
    reach = GIANT * (highest - lowest)
    return pixels if reach == 0 else np.clip(pixels, lowest - reach, highest + reach)


def _extract(
    pixels: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Patches (N, C, D) of an image (height, width, C), and the half that each belongs to."""
    windows = sliding_window_view(pixels, (PATCH_SIZE, PATCH_SIZE), axis=(0, 1))
    step = math.ceil(math.sqrt(windows.shape[0] * windows.shape[1] / most))
    windows = windows[::step, ::step]
    height, width, channels = windows.shape[:3]
    rows, columns = np.mgrid[:height, :width] // FOLD_SIDE
    return windows.reshape(height * width, channels, -1), ((rows + columns) % 2).ravel()


def split_energy(
    values: NDArray[np.float64], fold: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean square of each patch in the quiet and in the other directions.

    Parameters
    ----------
    values : (N, D); their means over D are removed
    fold : (N,) 0 or 1; directions for one half come from the other

    Returns
    -------
    quiet, other : (N,); white noise has its variance in both
    """
    values = values - values.mean(1, keepdims=True)
    directions = values.shape[1] - 1  # the mean is gone
    count = round(QUIET_SHARE * directions)
    quiet, other = np.empty(len(values)), np.empty(len(values))
    for measured in (0, 1):
        learned_from, rows = values[fold != measured], fold == measured
        _, vectors = np.linalg.eigh(learned_from.T @ learned_from)  # ascending
        energy = np.square(values[rows] @ vectors[:, 1:])
        quiet[rows] = energy[:, :count].mean(1)
        other[rows] = energy[:, count:].mean(1)
    return quiet, other


def flat_variance(quiet: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, int]:
    """Noise variance from what `split_energy` found.

    Returns
    -------
    variance, and the number of flat patches that it is the mean of; 0 patches if there are too
    few, and the variance comes from the flattest ones
    """
    least = min(max(LEAST_PATCHES, round(LEAST_SHARE * len(quiet))), len(quiet))
    flattest = np.argpartition(other, least - 1)[:least]
    variance, count = float(quiet[flattest].mean()), 0
    for _ in range(5):
        flat = other <= FLATNESS * variance
        count = int(flat.sum())
        if variance == 0 or count < least:
            return variance, 0
        variance = float(quiet[flat].mean())
    return variance, count


def colour_covariance(patches: NoisyPatches) -> NDArray[np.float64]:
    """Covariance of white noise between channels (C, C), on patches that are flat in all."""
    count, channels, size = patches.values.shape
    fold = np.repeat(patches.fold, channels)
    quiet, other = split_energy(patches.values.reshape(-1, size), fold)
    quiet, other = (part.reshape(count, channels).mean(1) for part in (quiet, other))
    variance, found = flat_variance(quiet, other)
    flat = other <= FLATNESS * variance
    if found == 0:
        flat = other <= np.partition(other, LEAST_PATCHES)[LEAST_PATCHES]
    side = math.isqrt(size)
    squares = patches.values[flat].reshape(-1, channels, side, side)
    # Second differences, in which what varies slowly over a patch cancels.
    details = np.diff(np.diff(squares, axis=2), axis=3).reshape(len(squares), channels, -1) / 2
    joint = np.einsum("ncd,ned->ce", details, details) / details[:, 0].size
    # Texture is least in the quiet directions: they give the level.
    level = max(float(np.trace(joint)), 1e-300)
    return np.asarray(joint * (variance * channels / level), np.float64)
