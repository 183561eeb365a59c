"""Pixels that hold no picture: hot or dead ones, salt and pepper; and stripes, to be named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from denoise.noise.pixels import ordinary_range

Array = NDArray[np.float64]

# A pixel is out of place if its distance to the median of its neighbours is this many times that
# of any but the most distant of 24 neighbours, and at least this share of the ordinary range.
# Sparse photons and stars reach 4 times: others like them are near, or they cover several pixels.
OUT_OF_PLACE, LEAST_DISTANCE = 5.0, 0.5
# More than this share of the pixels is no defect of a sensor but the picture.
MOST_HOT = 0.01
# Salt and pepper: this share of the values at least lies at each end of the range, several times as
# many as within 1 % of it beside them; most of them differ from their median by a
# share of it, and by more than noise does.
LEAST_SALT, MOST_SALT, BESIDE, SPIKE = 0.002, 0.3, 0.01, 3.0
ALONE, LEAST_GAP, BEYOND_NOISE = 0.6, 0.15, 4.0
# Median size of standard normal numbers.
MEDIAN_OF_NORMAL = 0.6745
# Stripes: the profiles of this many parts of an image agree with at least this correlation.
PARTS, AGREEMENT = 4, 0.5
# The median shift in a part, over the standard deviation of the mean of its row: 0.5 to 1.2 in
# pictures, with text and without; 2.5 for stripes of half the sigma of the noise.
LEAST_SHIFT = 1.8


@dataclass(frozen=True)
class Outliers:
    """Pixels to fill in.

    Attributes
    ----------
    where : (height, width) bool
    kind : how they came about
    """

    where: NDArray[np.bool_]
    kind: Literal["hot or dead pixels", "salt and pepper"]

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.where.sum())


def find_outliers(pixels: Array) -> Outliers | None:
    """Pixels that are unmistakably out of place; None if there are none.

    Parameters
    ----------
    pixels : (height, width, C), NaN where missing
    """
    if min(pixels.shape[:2]) < 5 or np.isnan(pixels).any():
        return None
    salt = [_salt_and_pepper(pixels[..., channel]) for channel in range(pixels.shape[2])]
    if any(one is not None for one in salt):
        where = np.any([one for one in salt if one is not None], axis=0)
        return Outliers(where, "salt and pepper")
    where = np.any([_hot(pixels[..., channel]) for channel in range(pixels.shape[2])], axis=0)
    if not where.any() or where.mean() > MOST_HOT:
        return None
    return Outliers(where, "hot or dead pixels")


def without_outliers(pixels: Array, where: NDArray[np.bool_]) -> Array:
    """Outliers replaced by the median of the ordinary pixels around them.

    Parameters
    ----------
    pixels : (height, width, C)
    where : (height, width) bool, not everywhere
    """
    filled = pixels.copy()
    height, width = where.shape
    for row, column in np.argwhere(where):
        for reach in range(1, max(height, width)):
            near = (
                slice(max(row - reach, 0), row + reach + 1),
                slice(max(column - reach, 0), column + reach + 1),
            )
            ordinary = ~where[near]
            if ordinary.sum() >= 3 or ordinary.size == where.size:
                filled[row, column] = np.median(pixels[near][ordinary], axis=0)
                break
    return filled


def find_stripes(pixels: Array) -> Literal["rows", "columns"] | None:
    """Along which lines of an image (height, width, C) values are shifted together, if any."""
    plane = np.nan_to_num(pixels.mean(2))
    for lines, turned in (("rows", plane), ("columns", plane.T)):
        if _striped(turned):
            return "rows" if lines == "rows" else "columns"
    return None


def _striped(plane: Array) -> bool:
    """Whether rows of all parts of an image go up and down together, beyond what they show."""
    if min(plane.shape) < 16 * PARTS:
        return False
    # Second differences across rows: what changes slowly from row to row cancels.
    details = plane[1:-1] - (plane[:-2] + plane[2:]) / 2
    profiles = [np.median(part, axis=1) for part in np.array_split(details, PARTS, axis=1)]
    if min(float(np.std(profile)) for profile in profiles) == 0:
        return False
    # Half of the rows are shifted by more than chance, or it is the picture, such as lines of text.
    spread = float(np.median(np.abs(details - np.median(details, axis=1, keepdims=True))))
    chance = spread / MEDIAN_OF_NORMAL / math.sqrt(plane.shape[1] / PARTS)
    if np.median(np.abs(profiles)) <= LEAST_SHIFT * chance:
        return False
    # Their ranks, since an edge of the picture makes a few lines large.
    pairs = combinations([np.argsort(np.argsort(profile)) for profile in profiles], 2)
    return all(float(np.corrcoef(one, other)[0, 1]) > AGREEMENT for one, other in pairs)


def _hot(plane: Array) -> NDArray[np.bool_]:
    """Pixels (height, width) far from all of their neighbours but one."""
    found = np.zeros(plane.shape, bool)
    lowest, highest = ordinary_range(plane)
    least = LEAST_DISTANCE * (highest - lowest)
    padded = np.pad(plane, 2, mode="reflect")
    across, down = (
        (padded[2:-2, 1:-3], padded[2:-2, 3:-1]),
        (padded[1:-3, 2:-2], padded[3:-1, 2:-2]),
    )
    # The two in the middle of four neighbours, whose mean is the median.
    one = np.maximum(np.minimum(*across), np.minimum(*down))
    other = np.minimum(np.maximum(*across), np.maximum(*down))
    likely = np.abs(plane - (one + other) / 2) > least
    if likely.mean() > MOST_HOT:
        return found
    around = sliding_window_view(padded, (5, 5))[likely].reshape(-1, 25)
    around = np.sort(np.delete(around, 12, axis=1), axis=1)
    middle = (around[:, 11] + around[:, 12]) / 2
    # One of the 24 neighbours may be as far out.
    spread = np.maximum(around[:, -2] - middle, middle - around[:, 1])
    distance = np.abs(plane[likely] - middle)
    found[likely] = (distance > OUT_OF_PLACE * spread) & (distance > least)
    return found


def _salt_and_pepper(plane: Array) -> NDArray[np.bool_] | None:
    """Pixels (height, width) at either end of the range, if they are not the picture's."""
    lowest, highest = float(plane.min()), float(plane.max())
    salt, pepper = plane == highest, plane == lowest
    extreme = salt | pepper
    shares = salt.mean(), pepper.mean()
    if min(shares) < LEAST_SALT or extreme.mean() > MOST_SALT:
        return None
    from scipy.ndimage import median_filter  # slow to load, and seldom needed

    margin = BESIDE * (highest - lowest)
    beside_salt = (plane > highest - margin).mean() - shares[0]
    beside_pepper = (plane < lowest + margin).mean() - shares[1]
    distance = np.abs(plane - median_filter(plane, 3))
    noise = float(np.median(distance)) / MEDIAN_OF_NORMAL
    alone = distance > max(LEAST_GAP * (highest - lowest), BEYOND_NOISE * noise)
    spikes = shares[0] > SPIKE * beside_salt and shares[1] > SPIKE * beside_pepper
    return extreme & alone if spikes and alone[extreme].mean() > ALONE else None
