"""What sort of noise an image has, and that noise: what `--noise auto` finds.

1. Is it correlated between pixels? Smooth noise has several times as much energy at middle as at
   high frequencies. So have textures; but these differ from window to window, and their energy
   rises on to the lowest frequencies.
2. Does it grow with the light? Then the image is stabilised.
3. Does it differ between channels? Then it has a covariance of channels.
4. Else it is white and the same everywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from denoise.noise.coloured import ColouredNoise
from denoise.noise.flat_patches import FEWER_PATCHES, colour_covariance, noisy_patches
from denoise.noise.gaussian import OPPONENT_AXES, GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.photons import estimate_growth
from denoise.noise.pixels import ordinary_range
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.noise.spectrum import (
    REACH,
    WINDOW,
    covariances,
    flat_energies,
    quantile_energies,
    window_energies,
)

Array = NDArray[np.float64]

# Noise with less rms than this share of the range is not worth the time.
UNNOTICED = 0.005
# Root of the energy at middle frequencies over that at high ones. White noise in pictures gives up
# to 1.9 at a sigma of 5 and 1.6 from 10 on; demosaicked, enlarged or filtered noise 3.1 and more.
SMOOTH = 2.3
# From this ratio on, it is texture if high frequencies were compressed away: in the flatter 5 %
# of the windows, their level is then less than in those of FLAT_SHARE by this factor.
TOO_SMOOTH, FEW, WIPED = 6.0, 0.05, 1.5
# Root of the energy at low frequencies over that at middle ones: noise gives 1.3 to 3, textures of
# clean photographs 3.1 to 8 where they are as smooth as noise in the other respects.
RISE = 3.1
# The share of the windows whose brightness holds nothing but noise, as photographs have them.
FLATTEST_SHARE = 0.04
# The share of the windows that are flat in colour, and a larger one.
# From the one to the other the level of noise rises to 1.4 times, that of textures 1.2 to 2 times.
FLAT_SHARE, LARGER_SHARE = 0.2, 0.4
SCATTER = 1.45
# Channels whose noise differs by less than this factor in sigma are taken to be alike.
ALIKE = 1.3
# Smaller correlations between channels may be those of texture, which is alike in all.
SHARED = 0.3
# The variance along an axis of colour is taken for at least this share of the largest one: where
# compression has wiped noise away, whitening must not blow up what is left.
LEAST_SHARE = 0.03
# Energies at low frequencies that grow by less, from the flatter 5 % to the flatter 40 % of the
# windows, are those of noise.
STEADY = 1.3
# Energy at the lowest frequencies of brightness beyond this multiple of the next ones is the
# picture's.
LARGEST_RISE = 1.7


def estimate_any(pixels: Array, level: GaussianNoise | None) -> Noise | None:
    """The noise of an image, of whatever sort, from its pixels alone.

    Parameters
    ----------
    pixels : (height, width, C), NaN where missing
    level : its noise if that is white and the same everywhere

    Returns
    -------
    GaussianNoise, PoissonGaussianNoise, or ColouredNoise if it is correlated between pixels or
        differs between channels; None if there is no noise to speak of

    Raises
    ------
    ImageError
        If the image holds too little to measure on.
    """
    correlated = estimate_correlated(pixels)
    if correlated is not None:
        return correlated
    if level is None:
        return None
    growth = estimate_growth(pixels)
    stabilised = pixels if growth is None else growth.stabilise(pixels)
    variance = level.sigma**2 if growth is None else 1.0
    found = _of_channels(stabilised, variance, growth) or growth or level
    lowest, highest = ordinary_range(pixels)
    rms = math.sqrt(float(np.nanmean(found.variance(pixels))))
    return found if rms > UNNOTICED * (highest - lowest) else None


def estimate_correlated(pixels: Array) -> ColouredNoise | None:
    """Noise that is correlated over some pixels; None if there is none, or only texture like it.

    Parameters
    ----------
    pixels : (height, width, C), NaN where missing
    """
    if min(pixels.shape[:2]) < 2 * WINDOW:
        return None
    axes = OPPONENT_AXES if pixels.shape[2] == 3 else np.eye(pixels.shape[2])
    planes = pixels @ axes.T
    energies = window_energies(pixels.mean(2))
    if energies is None or not _looks_correlated(energies):
        return None
    tables = []
    for axis in range(planes.shape[2]):
        energies = window_energies(planes[..., axis])
        if energies is None:  # such as colours that were compressed away
            tables.append(np.zeros((REACH + 1, REACH + 1)))
            continue
        found = _of_brightness(energies) if axis == 0 else quantile_energies(energies, FLAT_SHARE)
        tables.append(covariances(found))
    least = LEAST_SHARE * max(float(table[0, 0]) for table in tables)
    weak = np.zeros((REACH + 1, REACH + 1))
    weak[0, 0] = least
    tables = [table if table[0, 0] > least else weak for table in tables]
    return ColouredNoise.of(tables, axes)


def _looks_correlated(energies: Array) -> bool:
    """Whether most windows (N, B, B) hold the same smooth noise."""
    order = _order(energies.shape[1:])
    middle, low = (order > 2) & (order <= 6), (order > 0) & (order <= 2)

    def level(found: Array, where: NDArray[np.bool_]) -> float:
        return math.sqrt(float(found[where].mean()))

    found, more = (quantile_energies(energies, share) for share in (FLAT_SHARE, LARGER_SHARE))
    high, ratio = level(found, order > 7), level(found, middle) / level(found, order > 7)
    if ratio > TOO_SMOOTH and high > WIPED * level(quantile_energies(energies, FEW), order > 7):
        return False
    return (
        ratio > SMOOTH
        and level(found, low) < RISE * level(found, middle)
        and level(more, order > 0) < SCATTER * level(found, order > 0)
    )


def _order(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Sum of both frequencies of each coefficient."""
    rows, columns = np.indices(shape)
    return np.asarray(rows + columns)


def _of_brightness(energies: Array) -> Array:
    """Energies (B, B) of the noise of brightness, where most of the texture of a picture is."""
    order = _order(energies.shape[1:])
    low = (order > 0) & (order <= 2)
    few, more = (quantile_energies(energies, share)[low].mean() for share in (FEW, LARGER_SHARE))
    if more < STEADY * few:  # there is hardly any texture
        return quantile_energies(energies, FLAT_SHARE)
    found = flat_energies(energies, FLATTEST_SHARE)
    bound = LARGEST_RISE * float(found[(order == 3) | (order == 4)].mean())
    return np.where(order <= 2, np.minimum(found, bound), found)


def _of_channels(
    pixels: Array, variance: float, growth: PoissonGaussianNoise | None
) -> ColouredNoise | None:
    """White noise that differs between channels; None if it does not."""
    if pixels.shape[2] == 1:
        return None
    covariance = colour_covariance(
        noisy_patches(pixels, FEWER_PATCHES).varied().unclipped(variance)
    )
    sigmas = np.sqrt(np.diag(covariance))
    if sigmas.min() == 0:
        return None
    shared = np.abs(covariance / np.outer(sigmas, sigmas) - np.eye(len(sigmas))).max()
    if shared < SHARED:
        if sigmas.max() < ALIKE * sigmas.min():
            return None
        return ColouredNoise.of([np.array([[one]]) for one in sigmas**2], None, growth)
    variances, axes = np.linalg.eigh(covariance)
    variances = np.maximum(variances, LEAST_SHARE * variances.max())
    return ColouredNoise.of([np.array([[one]]) for one in variances], axes.T, growth)
