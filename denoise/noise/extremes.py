"""Values that are out of proportion to the rest: hot pixels, cosmic rays, the sun.

The arithmetic of the models is float32, in units of sigma, and squares are taken: it holds up
to a range of some ten thousand sigma. A value far outside the range of the others has so little
noise, relative to its size, that nothing can be gained by denoising it. It is kept as it is, and
the model sees the nearest ordinary pixel in its place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denoise.noise.interface import Noise
from denoise.noise.pixels import ordinary_range

# In units of sigma: values further outside the ordinary range are extreme.
REACH = 1000.0
# The models see noise of at least this share of the range.
LEAST_NOISE_SHARE = 5e-4


def without_extremes(
    pixels: NDArray[np.float64], noise: Noise, ordinary: tuple[float, float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Replace extreme values by those of the nearest ordinary pixel.

    Parameters
    ----------
    pixels : (height, width, C), NaN where missing
    ordinary : range of the values without the tails; None means that of these pixels

    Returns
    -------
    pixels : the same without extreme values; the array itself if there are none
    extreme : (height, width, C), where there were; the caller keeps the values there
    """
    lowest, highest = ordinary or ordinary_range(pixels)
    distance = np.maximum(lowest - pixels, pixels - highest)
    # A value below the range is as extreme as one that lies as far above it.
    sigma = np.sqrt(noise.variance(highest + np.maximum(distance, 0)))
    extreme = distance > REACH * sigma
    if not extreme.any():
        return pixels, extreme
    from scipy.ndimage import distance_transform_edt  # slow to load, and seldom needed

    _, (rows, columns) = distance_transform_edt(extreme.any(2), return_indices=True)
    return np.where(extreme, pixels[rows, columns], pixels), extreme


def working_sigma(pixels: NDArray[np.float64], sigma: float) -> float:
    """Sigma, or the least one that float32 resolves beside values of this range."""
    return max(sigma, LEAST_NOISE_SHARE * float(np.nanmax(pixels) - np.nanmin(pixels)))
