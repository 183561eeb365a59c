"""The noise of cameras, as colour differences give it away.

Pictures have much less texture in colour differences than in brightness, so that the energies of
the former are those of the noise. They show whether it is smooth, as it is once a camera has
interpolated, filtered and compressed it, and bound the noise of brightness, which texture hides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from denoise.noise.spectrum import (
    LEAST_WINDOWS,
    ORDER,
    flat_energies,
    quantile_energies,
    window_coefficients,
)

Array = NDArray[np.float64]

LOW, MIDDLE, HIGH = (ORDER >= 1) & (ORDER <= 3), (ORDER >= 4) & (ORDER <= 6), ORDER >= 12
# The shares of the windows that are flat in colour, and in brightness.
FLAT_COLOURS, FLAT_BRIGHTNESS = 0.2, 0.2
# Root of the energy of colour differences at middle over that at high frequencies: white noise in
# pictures gives up to 1.2, noise of cameras 1.7 and more.
SMOOTH = 1.5
# Root of the energy of colour differences at middle over that at low frequencies. Interpolation
# alone leaves 0.27 and more; brightness then has hardly more noise than they have. Where a camera
# has smoothed them it is 0.16 and less, and brightness may have several times their noise.
ROUGH, SMOOTHED = 0.3, 0.12
LARGEST_RATIO, LARGEST_RATIO_SMOOTHED = 1.15, 3.0
# Compression wipes small coefficients away and keeps large ones, so that the flat windows have less
# than the mean energy of the noise: by up to this factor where colours were smoothed.
WIPED = 2.0
# The level of brightness at middle frequencies is compared between the flatter windows of these
# shares. It differs where there is texture, in colours, too, once these have been interpolated;
# energies are divided by this power of the ratio, unless colours were smoothed.
FEW, MORE, DOUBT = 0.05, 0.2, 3.0
# From one order of frequencies to the next lower one the energy of noise rises by at most this
# factor, that of textures by more.
LARGEST_STEP = 1.7 ** (2 / 3)
# Median over windows of the squared correlation of the coefficients of colour differences with
# those of brightness: 0.02 to 0.05 for the noise of cameras, 0.06 to 0.3 for textures.
INDEPENDENT = 0.055
# Coefficients that are compared in this way; windows with less than this share of the usual energy
# hold colours that were wiped away.
COMPARED, LEAST_ENERGY = (ORDER >= 1) & (ORDER <= 5), 0.05
# Smaller levels are rounding errors; they are not divided by.
LEAST_LEVEL = 1e-9
# Colour differences below this share of the largest brightness are rounding errors.
COLOURLESS = 1e-6


def has_colours(planes: Array) -> bool:
    """Whether RGB channels differ anywhere: (C, height, width) along the opponent axes."""
    brightness, *colours = np.nanmax(np.abs(planes), axis=(1, 2))
    return bool(max(colours) > COLOURLESS * brightness)


def camera_energies(energies: Sequence[Array | None]) -> list[Array | None] | None:
    """Expected energies of smooth noise in RGB; None if it is white.

    Parameters
    ----------
    energies : those of the windows (N, B, B) along each opponent axis, brightness first; None where
        colours were compressed away

    Returns
    -------
    (B, B) for each axis; None for one that has no energy
    """
    brightness, *rest = energies
    found = [None if one is None else quantile_energies(one, FLAT_COLOURS) for one in rest]
    measured = [one for one in found if one is not None]
    if brightness is None:
        return None
    smoothed, bound = 1.0, math.inf
    if measured:
        colours = max(measured, key=lambda one: float(one[LOW].sum()))
        low, middle, high = (_level(colours, where) for where in (LOW, MIDDLE, HIGH))
        if middle < SMOOTH * high:
            return None
        smoothed = _share(middle / low, ROUGH, SMOOTHED)
        bound = low * LARGEST_RATIO * (LARGEST_RATIO_SMOOTHED / LARGEST_RATIO) ** smoothed
    bounded = _without_rise(flat_energies(brightness, FLAT_BRIGHTNESS))
    bounded *= min(1.0, bound / _level(bounded, LOW)) ** 2
    few, more = (_level(quantile_energies(brightness, share), MIDDLE) for share in (FEW, MORE))
    textured = max(more / max(few, LEAST_LEVEL), 1.0)
    factor = WIPED**smoothed / textured ** (DOUBT * (1 - smoothed))
    return [factor * bounded, *(None if one is None else factor * one for one in found)]


def _level(energies: Array, where: NDArray[np.bool_]) -> float:
    """Root of their mean at some frequencies."""
    return math.sqrt(float(energies[where].mean()))


def _share(value: float, zero: float, one: float) -> float:
    """Where a value lies between two others, in logarithms: from 0 to 1."""
    place = math.log(max(value, LEAST_LEVEL) / zero) / math.log(one / zero)
    return min(max(place, 0.0), 1.0)


def _without_rise(energies: Array) -> Array:
    """Energies (B, B) without the rise to low frequencies that textures have."""
    for order in (3, 2, 1):
        here = order == ORDER
        bound = LARGEST_STEP * energies[order + 1 == ORDER].mean()
        energies[here] *= min(1.0, bound / energies[here].mean())
    energies[0, 0] = (energies[0, 1] + energies[1, 0]) / 2
    return energies


def independent_colours(planes: Array) -> bool:
    """Whether colour differences do not follow the brightness, as those of textures do.

    Parameters
    ----------
    planes : (C, height, width) along the opponent axes, brightness first, NaN where missing
    """
    windows = np.stack([window_coefficients(plane) for plane in planes])
    windows = windows[:, ~np.isnan(windows[..., 0, 0].sum(0))][..., COMPARED]
    usual = np.median(np.square(windows), axis=1, keepdims=True)
    least = LEAST_ENERGY * usual.max(2, keepdims=True)
    if not least.all():
        return False  # most windows have no colour
    brightness, *colours = windows / np.sqrt(np.maximum(usual, least))
    correlations = []
    for colour in colours:
        there = (np.square(colour).mean(1) > LEAST_ENERGY) & brightness.any(1)
        one, other = brightness[there], colour[there]
        product = np.square((one * other).sum(1))
        correlations.append(product / (np.square(one).sum(1) * np.square(other).sum(1)))
    found = np.concatenate(correlations)
    return len(found) >= LEAST_WINDOWS and float(np.median(found)) < INDEPENDENT
