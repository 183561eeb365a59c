"""Noise that is correlated between pixels, told from texture and measured.

Smooth noise has several times as much energy at middle as at high frequencies. So have textures;
but these differ from window to window, and their energy rises on to the lowest frequencies. In
colour, the noise of cameras shows in another way, too (camera.py).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from denoise.noise.camera import camera_energies, has_colours, independent_colours
from denoise.noise.coloured import ColouredNoise
from denoise.noise.gaussian import OPPONENT_AXES
from denoise.noise.spectrum import (
    ORDER,
    REACH,
    WINDOW,
    covariances,
    flat_energies,
    quantile_energies,
    window_energies,
)

Array = NDArray[np.float64]

LOW, MIDDLE, HIGH = (ORDER > 0) & (ORDER <= 2), (ORDER > 2) & (ORDER <= 6), ORDER > 7
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
# Energies at low frequencies that grow by less, from the flatter 5 % to the flatter 40 % of the
# windows, are those of noise.
STEADY = 1.3
# Energy at the lowest frequencies of brightness beyond this multiple of the next ones is the
# picture's.
LARGEST_RISE = 1.7
# The noise of a camera is taken for such even where its colours follow the brightness if its rms is
# more than this share of the range: few clean photographs have such textures everywhere.
STRONG = 0.02
# The variance along an axis of colour is taken for at least this share of the largest one: where
# compression has wiped noise away, whitening must not blow up what is left.
LEAST_SHARE = 0.03


def estimate_correlated(pixels: Array, extent: float) -> ColouredNoise | None:
    """Noise that is correlated over some pixels; None if there is none, or only texture like it.

    Parameters
    ----------
    pixels : (height, width, C), NaN where missing
    extent : of the values of the picture
    """
    if min(pixels.shape[:2]) < 2 * WINDOW:
        return None
    brightness = window_energies(pixels.mean(2))
    if brightness is None:
        return None
    rgb = pixels.shape[2] == 3
    axes = OPPONENT_AXES if rgb else np.eye(pixels.shape[2])
    planes = np.moveaxis(pixels @ axes.T, 2, 0)
    windows = [window_energies(plane) for plane in planes]
    clear = _looks_correlated(brightness)
    camera = camera_energies(windows) if rgb and has_colours(planes) else None
    if camera is not None:
        noise = _with_energies(camera, axes)
        strong = noise.sigma > STRONG * extent
        colours = any(energies is not None for energies in windows[1:])
        found = clear or (colours and (strong or independent_colours(planes)))
        return noise if found else None
    if not clear:
        return None
    # There are no windows of colours that were compressed away.
    first, *rest = windows
    return _with_energies(
        [
            None if first is None else _of_brightness(first),
            *(None if one is None else quantile_energies(one, FLAT_SHARE) for one in rest),
        ],
        axes,
    )


def _with_energies(energies: list[Array | None], axes: Array) -> ColouredNoise:
    """Noise whose windows have these energies (B, B) along each axis; None for next to nothing."""
    nothing = np.zeros((REACH + 1, REACH + 1))
    tables = [nothing if one is None else covariances(one) for one in energies]
    weak = nothing.copy()
    weak[0, 0] = LEAST_SHARE * max(float(table[0, 0]) for table in tables)
    tables = [table if table[0, 0] > weak[0, 0] else weak for table in tables]
    return ColouredNoise.of(tables, axes)


def _looks_correlated(energies: Array) -> bool:
    """Whether most windows (N, B, B) hold the same smooth noise."""

    def level(found: Array, where: NDArray[np.bool_]) -> float:
        return math.sqrt(float(found[where].mean()))

    found, more = (quantile_energies(energies, share) for share in (FLAT_SHARE, LARGER_SHARE))
    high, middle = level(found, HIGH), level(found, MIDDLE)
    few = quantile_energies(energies, FEW)
    if middle > TOO_SMOOTH * high and high > WIPED * level(few, HIGH):
        return False
    return (
        middle > SMOOTH * high
        and level(found, LOW) < RISE * middle
        and level(more, ORDER > 0) < SCATTER * level(found, ORDER > 0)
    )


def _of_brightness(energies: Array) -> Array:
    """Energies (B, B) of the noise of brightness, where most of the texture of a picture is."""
    few, more = (quantile_energies(energies, share)[LOW].mean() for share in (FEW, LARGER_SHARE))
    if more < STEADY * few:  # there is hardly any texture
        return quantile_energies(energies, FLAT_SHARE)
    found = flat_energies(energies, FLATTEST_SHARE)
    bound = LARGEST_RISE * float(found[(ORDER == 3) | (ORDER == 4)].mean())
    return np.where(ORDER <= 2, np.minimum(found, bound), found)
