"""Measure noise that grows with the light, on flat patches of each brightness."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.noise.flat_patches import (
    CLIPPING_DISTANCE,
    FEWER_PATCHES,
    MOST_PATCHES,
    flat_variance,
    noisy_patches,
    split_energy,
)
from denoise.noise.pixels import as_pixels, clipped_range
from denoise.noise.poisson_gaussian import PoissonGaussianNoise

# Brightness is cut into this many steps, each of at least that many patches.
MOST_STEPS, LEAST_STEP = 40, 200
# Noise that differs by less between dark and bright does not grow: an estimate from white noise
# gives up to 1.2.
LEAST_CONTRAST = 1.5
# The same for variances where nothing is clipped, in at least so many steps.
LEAST_GROWTH, LEAST_STEPS = 1.4, 5
# The median of the relative errors of variances, in steps with flat patches and in those without:
# photon noise in photographs has up to 0.2, one of the two is 0.4 and more beside text.
LARGEST_MISFIT = 0.3
# Relative error of a variance beyond which it counts less (Huber).
TOLERANCE = 0.1
# A step without flat patches counts as this many of them.
TEXTURED_COUNT = 10
# Fitted variances are taken for at least this share of the largest, lest dark steps rule.
LEAST_VARIANCE = 0.01


def estimate_poisson_gaussian(
    image: ArrayLike, most_patches: int = MOST_PATCHES
) -> PoissonGaussianNoise | None:
    """Gain and read noise from one noisy image; None if it has no noise.

    Flat patches of each brightness give a variance, and the variances a line, robustly fitted.
    Where the line has no variance at 0 already, that brightness is the offset; else the offset
    is 0, since one image does not separate an offset from read noise. An image with less contrast
    than noise gets Gaussian noise.

    Parameters
    ----------
    image : (height, width) or (height, width, C), NaN where missing; channels share parameters
    most_patches : larger images are seen through a regular subset of at most these

    Raises
    ------
    ImageError
        If the array is no image, or holds too little to measure on.
    """
    values = np.asarray(image, np.float64)
    known = values[np.isfinite(values)]
    extent = float(np.ptp(known)) if known.size else 0.0
    extent = extent if extent > 0 else 1.0
    means, variances, counts = noise_curve(values / extent, most_patches)
    if not variances.any():
        return None
    gain, read_sigma, offset = _parameters(means, variances, counts)
    return PoissonGaussianNoise(gain * extent, read_sigma * extent, offset * extent)


def estimate_growth(image: ArrayLike) -> PoissonGaussianNoise | None:
    """The same where the noise clearly grows with the light; None if it hardly does.

    Values that are clipped at black make noise look weaker there, so that it has to grow where
    none are clipped, too.

    Parameters
    ----------
    image : (height, width) or (height, width, C), NaN where missing; each channel has to agree
    """
    pixels = as_pixels(image)
    noise: PoissonGaussianNoise | None = None
    for most_patches in (FEWER_PATCHES, MOST_PATCHES):
        noise = estimate_poisson_gaussian(pixels, most_patches)
        if noise is None or noise.contrast(pixels) < LEAST_CONTRAST:
            return None
    planes = [pixels[..., c] for c in range(pixels.shape[2])]
    return noise if all(_grows(plane) for plane in planes) else None


def _grows(plane: NDArray[np.float64]) -> bool:
    """Whether the noise of one channel grows with the light where the values are not clipped."""
    means, variances, counts = noise_curve(plane, FEWER_PATCHES)
    lowest, _ = clipped_range(plane)
    clear = means > lowest + CLIPPING_DISTANCE * math.sqrt(variances.max())
    if clear.sum() < LEAST_STEPS:  # it is dark nearly everywhere
        clear[:] = True
    slope, intercept = _fit_line(means[clear], variances[clear], counts[clear])
    fitted = slope * means[clear] + intercept
    too_far = np.abs(variances[clear] - fitted) > LARGEST_MISFIT * np.abs(fitted)
    flat = counts[clear] > 0
    if any(some.size and some.mean() > 0.5 for some in (too_far[flat], too_far[~flat])):
        return False  # no line explains both, as beside text
    return bool(fitted[-1] > LEAST_GROWTH * fitted[0])


def _parameters(
    means: NDArray[np.float64], variances: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Gain, read sigma and offset of a noise curve."""
    level = float(np.average(variances, weights=np.maximum(counts, TEXTURED_COUNT)))
    gain, intercept = _fit_line(means, variances, counts)
    if gain <= 0 or np.ptp(means) < math.sqrt(level):  # too little contrast for a line
        return 0.0, math.sqrt(level), 0.0
    if intercept < 0:
        return gain, 0.0, -intercept / gain
    return gain, math.sqrt(intercept), 0.0


def noise_curve(
    image: ArrayLike, most_patches: int = MOST_PATCHES
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Noise variance over brightness, on flat patches.

    Returns
    -------
    means, variances, counts : (K,) brightness of a step, variance of its noise, and the number
        of flat patches that it was measured on
    """
    patches = noisy_patches(image, most_patches)
    channels, size = patches.values.shape[1:]
    values = patches.values.reshape(-1, size)
    quiet, other = split_energy(values, np.repeat(patches.fold, channels))
    brightness = values.mean(1)
    order = np.argsort(brightness)
    steps = np.array_split(order, min(MOST_STEPS, max(3, len(order) // LEAST_STEP)))
    curve = []
    for step in steps:
        variance, count = flat_variance(quiet[step], other[step])
        curve.append((brightness[step].mean(), variance, count))
    means, variances, counts = np.array(curve, dtype=np.float64).T
    # Highlights that are clipped altogether have little variance, so all that follow go too.
    clipped = (
        np.maximum.accumulate(means + CLIPPING_DISTANCE * np.sqrt(variances)) > patches.highest
    )
    return means[~clipped], variances[~clipped], counts[~clipped]


def _fit_line(
    means: NDArray[np.float64], variances: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and intercept, by least squares of relative errors with Huber's weights."""
    design = np.stack([means, np.ones_like(means)], axis=1)
    fitted = variances
    tolerated = np.ones_like(variances)
    slope, intercept = 0.0, 0.0
    for _ in range(20):
        floor = LEAST_VARIANCE * fitted.max()
        root = np.sqrt(tolerated * np.maximum(counts, TEXTURED_COUNT)) / np.maximum(fitted, floor)
        slope, intercept = np.linalg.lstsq(design * root[:, None], variances * root)[0]
        fitted = slope * means + intercept
        errors = np.abs(variances / np.maximum(fitted, floor) - 1)
        tolerated = TOLERANCE / np.maximum(errors, TOLERANCE)
    return float(slope), float(intercept)
