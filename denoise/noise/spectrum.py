"""The power spectrum of stationary noise: measured on windows of an image, as covariances, applied.

A spectrum is taken for even along both axes. It is then a sum of cosines, whose coefficients are
the covariances of pixels over small offsets, and the cosine transform of a whole image (which
continues it by reflection) makes the noise independent from frequency to frequency.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.ndimage import uniform_filter
from scipy.special import gammainc, gammaincinv

Array = NDArray[np.float64]

# Side B of the windows, and offsets over which noise is correlated at most.
WINDOW = 8
REACH = 4
# The sum of both frequencies of each coefficient of a window.
ORDER = np.add(*np.indices((WINDOW, WINDOW)))
# Larger images are seen through a regular subset of about this many windows.
MOST_WINDOWS = 2**14
# Fewer than these are no sample.
LEAST_WINDOWS = 40
# The quantile finds the level of noise and the scatter of one band in this many rounds.
ROUNDS = 3
# The flattest windows are chosen and averaged in these rounds, first by the quantile of a share.
FLAT_ROUNDS, FIRST_SHARE = 6, 0.1
# A round changes an energy by at most this factor: where compression has wiped coefficients away,
# neighbours are out of proportion.
LARGEST_STEP = 4.0
# No frequency has less than this share of the mean power: whitening must not blow it up.
LEAST_POWER = 0.2
# Powers below this share of the largest one are rounding errors.
NEGLIGIBLE = 1e-10


def window_coefficients(plane: Array) -> Array:
    """Cosine coefficients of windows all over a plane.

    Parameters
    ----------
    plane : (height, width), NaN where missing; at least one window in size

    Returns
    -------
    (N, B, B), NaN for windows with missing values; white noise has its variance everywhere, and
        [:, 0, 0] is brightness
    """
    windows = sliding_window_view(plane, (WINDOW, WINDOW))
    step = math.ceil(math.sqrt(windows.shape[0] * windows.shape[1] / MOST_WINDOWS))
    chosen = windows[::step, ::step].reshape(-1, WINDOW, WINDOW)
    return np.asarray(dctn(chosen, axes=(1, 2), norm="ortho"))


def window_energies(plane: Array) -> Array | None:
    """Squares of `window_coefficients`, of windows that are complete and not constant.

    Returns
    -------
    (N, B, B); None if most windows are constant or there are few
    """
    coefficients = window_coefficients(plane)
    energies: Array = np.square(coefficients[~np.isnan(coefficients[:, 0, 0])])
    detail = energies.sum((1, 2)) - energies[:, 0, 0]
    varied = detail > NEGLIGIBLE * detail.max(initial=0)
    if varied.sum() < max(LEAST_WINDOWS, len(varied) / 2):
        return None
    return np.asarray(energies[varied])


def quantile_energies(energies: Array, share: float) -> Array:
    """Expected energy of the noise at each frequency, from a quantile of the windows.

    At each frequency, energies over a few neighbours, relative to the estimate so far, have the
    distribution of chi squared where there is noise alone. What lies at the quantile `share` of
    all windows is taken for that quantile of the noise: unbiased where every window is flat, too
    high by little where at least a few times `share` of them are.

    Parameters
    ----------
    energies : (N, B, B)
    share : of the windows, between 0 and 1

    Returns
    -------
    (B, B); at frequency 0, which brightness hides, that of the neighbours
    """
    counted = np.ones(energies.shape[1:])
    counted[0, 0] = 0
    count = _neighbourhood(counted)  # 9 coefficients, but for the sides

    def quantile(relative: Array) -> Array:
        sums = _neighbourhood(relative * counted)
        return np.asarray(
            np.quantile(sums, share, axis=0) / _chi2_quantile(share, count), np.float64
        )

    found = quantile(energies)
    least = max(NEGLIGIBLE * float(energies.max()), float(np.finfo(float).tiny))
    for _ in range(ROUNDS):
        found = np.maximum(found, least)
        found *= np.clip(quantile(energies / found), 1 / LARGEST_STEP, LARGEST_STEP)
    found[0, 0] = (found[0, 1] + found[1, 0]) / 2
    return np.asarray(found, np.float64)


def flat_energies(energies: Array, share: float) -> Array:
    """Expected energy of the noise at each frequency, from the windows with the least detail.

    The detail of a window is its energy relative to that of the noise, summed over frequencies:
    chi squared where there is noise alone, so that the bias of taking the least is known. Better
    than `quantile_energies` in textured pictures, as texture at one frequency excludes a window
    from the others, too.

    Parameters
    ----------
    energies : (N, B, B)
    share : of the windows, which are averaged

    Returns
    -------
    (B, B); at frequency 0, which brightness hides, that of the neighbours
    """
    found = quantile_energies(energies, FIRST_SHARE)
    count = min(max(round(share * len(energies)), LEAST_WINDOWS), len(energies))
    freedom = energies[0].size - 1
    # Mean of chi squared below its quantile, relative to its own mean.
    limit = _chi2_quantile(count / len(energies), freedom)
    bias = float(gammainc(freedom / 2 + 1, limit / 2)) * len(energies) / count
    least = max(NEGLIGIBLE * float(energies.max()), float(np.finfo(float).tiny))
    for _ in range(FLAT_ROUNDS):
        relative = energies / np.maximum(found, least)
        relative[:, 0, 0] = 0
        flattest = np.argpartition(relative.sum((1, 2)), count - 1)[:count]
        found = np.maximum(found, least) * relative[flattest].mean(0) / bias
    found[0, 0] = (found[0, 1] + found[1, 0]) / 2
    return np.asarray(found, np.float64)


def _chi2_quantile(share: float, freedom: Any) -> Any:
    """Of chi squared with so many degrees of freedom, a number or an array."""
    return 2 * gammaincinv(np.asarray(freedom) / 2, share)


def _neighbourhood(values: Array) -> Array:
    """Sum over 3x3 neighbours of the last two axes; there is nothing outside."""
    size = (*(1 for _ in values.shape[:-2]), 3, 3)
    return np.asarray(9 * uniform_filter(values, size, mode="constant"), np.float64)


def covariances(energies: Array) -> Array:
    """Covariances over offsets that give windows these expected energies.

    The energy of a cosine φ_u is Σ_nm φ_u(n) φ_u(m) c(n - m), along each axis: a linear system
    in the covariances c, solved by least squares for offsets up to `REACH`.

    Parameters
    ----------
    energies : (B, B)

    Returns
    -------
    (REACH + 1, REACH + 1) of pixels that lie so many rows and columns apart
    """
    back = np.linalg.pinv(_energies_of_offsets(len(energies), REACH))
    return np.asarray(back @ energies @ back.T, np.float64)


def _energies_of_offsets(side: int, reach: int) -> Array:
    """Energy at each frequency per unit of covariance at each offset: (side, reach + 1)."""
    cosines = dctn(np.eye(side), axes=(0,), norm="ortho")  # (frequency, pixel)
    columns = [np.square(cosines).sum(1)]
    columns += [2 * (cosines[:, k:] * cosines[:, :-k]).sum(1) for k in range(1, reach + 1)]
    return np.stack(columns, axis=1)


def power(covariance: Array, shape: tuple[int, int]) -> Array:
    """Power of noise at the frequencies of an image's cosine transform, bounded from below.

    Parameters
    ----------
    covariance : (R + 1, R + 1) over rows and columns
    shape : (height, width)

    Returns
    -------
    (height, width), positive; its mean is the variance, covariance[0, 0], or a little more
    """
    bases = []
    for length, count in zip(shape, covariance.shape, strict=True):
        angles = np.pi / length * np.arange(length)
        basis = 2 * np.cos(np.outer(angles, np.arange(count)))
        basis[:, 0] = 1
        bases.append(basis)
    spectrum = bases[0] @ covariance @ bases[1].T
    return np.asarray(np.maximum(spectrum, LEAST_POWER * covariance[0, 0]))
