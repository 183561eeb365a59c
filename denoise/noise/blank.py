"""Areas that hold no picture: frames, white pages, cut-outs, values that stand for missing data.

Noise never makes hundreds of neighbours equal, unless all are clipped. Such areas would hide
the noise of the rest from an estimate, and denoising can only spoil them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Smaller images are not looked at.
SMALLEST_SIDE = 16
# A window of equal pixels in one of these shapes, (height, width), is no accident.
WINDOWS = ((16, 16), (4, 64), (64, 4))
LEAST_EQUAL = 3 * 63
# Where such a window does not fit, as at round edges, smaller ones next to it count as well: this
# side, up to this many pixels away.
RIM, RIM_REACH = 3, 8
# Sigma in pixels of the mean that stands in for what is left out.
MEAN_SIGMA = 2.0


def blank_areas(pixels: Array) -> Mask:
    """Where all pixels around have the same value: (height, width).

    Parameters
    ----------
    pixels : (height, width, C); NaN equals nothing
    """
    height, width = pixels.shape[:2]
    found = np.zeros((height, width), bool)
    if min(height, width) < SMALLEST_SIDE:
        return found
    same = np.ones((height - 1, width - 1), bool)
    for plane in np.moveaxis(pixels, 2, 0):
        corner = plane[:-1, :-1]
        same &= (corner == plane[1:, :-1]) & (corner == plane[:-1, 1:]) & (corner == plane[1:, 1:])
        if np.count_nonzero(same) < min(same.size, LEAST_EQUAL):  # as in nearly all noisy images
            return found
    for rows, columns in WINDOWS:
        found |= _equal_windows(same, min(rows, height), min(columns, width))
    if not found.any() or found.all():
        return found
    from scipy.ndimage import binary_dilation  # slow to load, and seldom needed

    rim = _equal_windows(same, RIM, RIM)
    return np.asarray(binary_dilation(found, iterations=RIM_REACH, mask=rim | found))


def filled_in(pixels: Array, where: Mask) -> Array:
    """Pixels (height, width, C) with a smooth continuation of the others in place of some.

    The value is the local mean around the nearest pixel that is neither in `where` nor NaN;
    without any, it is 0.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    known = ~where & ~np.isnan(pixels).any(2)
    if not known.any():
        return np.where(where[..., None], 0.0, pixels)
    sigma = (MEAN_SIGMA, MEAN_SIGMA, 0)
    weights = gaussian_filter(known.astype(np.float64), MEAN_SIGMA)
    sums = gaussian_filter(np.where(known[..., None], pixels, 0.0), sigma)
    rows, columns = distance_transform_edt(~known, return_indices=True)[1][:, where]
    filled = pixels.copy()
    filled[where] = sums[rows, columns] / weights[rows, columns][:, None]
    return filled


def _equal_windows(same: Mask, height: int, width: int) -> Mask:
    """Pixels in a window of this size whose pixels are all equal.

    Parameters
    ----------
    same : (height - 1, width - 1), whether a pixel equals the three below and beside it
    """
    equal = _box_sums(same, height - 1, width - 1) == (height - 1) * (width - 1)
    margin = np.pad(equal, ((height - 1,) * 2, (width - 1,) * 2))
    return np.asarray(_box_sums(margin, height, width) > 0)


def _box_sums(values: Mask, height: int, width: int) -> NDArray[np.int64]:
    """How many are set in each window of this size."""
    sums = np.pad(values.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))
    rows = sums[height:] - sums[:-height]
    return np.asarray(rows[:, width:] - rows[:, :-width])
