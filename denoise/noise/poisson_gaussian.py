"""Noise that grows with the signal: photon noise and read noise, made Gaussian and back.

    x = offset + gain · Poisson(y / gain) + N(0, read_sigma²)

y is the clean signal and offset + y the clean image. The variance is gain · y + read_sigma²: a
straight line over the clean image, of slope `gain`. The generalised Anscombe transform f turns
it into noise of variance 1 nearly everywhere; what a denoiser makes of f(x) comes back by the
unbiased inverse, which maps the mean of f(x) to y, not by the inverse of f itself.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import OptionError
from denoise.noise.flat_patches import CLIPPING_DISTANCE, flat_variance, noisy_patches, split_energy
from denoise.noise.pixels import as_pixels, clipped_range

# Brightness is cut into this many steps, each of at least that many patches.
MOST_STEPS, LEAST_STEP = 40, 200
# The mean of a step keeps this many sigma away from clipped highlights.
# The median of the photons from which on a second look gains nothing, and the share of the image
# in it.
FEW_PHOTONS, SECOND_SHARE = 10.0, 0.5
# Noise that differs by less between dark and bright does not grow: an estimate from white noise
# gives up to 1.2.
LEAST_CONTRAST = 1.5
# The same for variances where nothing is clipped, in at least so many steps.
LEAST_GROWTH, LEAST_STEPS = 1.4, 5
# Relative error of a variance beyond which it counts less (Huber).
TOLERANCE = 0.1
# A step without flat patches counts as this many of them.
TEXTURED_COUNT = 10
# Fitted variances are taken for at least this share of the largest, lest dark steps rule.
LEAST_VARIANCE = 0.01


@dataclass(frozen=True)
class PoissonGaussianNoise:
    """Noise that grows with the signal; its parameters are in the units of the image.

    Attributes
    ----------
    gain : what one photon (electron) adds; 0 for noise that does not depend on the signal
    read_sigma : standard deviation of the Gaussian noise
    offset : value of the clean image where there is no light

    Raises
    ------
    OptionError
        If gain or read_sigma is negative, or both are 0.
    """

    gain: float
    read_sigma: float
    offset: float = 0.0
    stabilised_sigma: ClassVar[float] = 1.0
    keeps_units: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (
            0 <= self.gain < math.inf
            and 0 <= self.read_sigma < math.inf
            and self.gain + self.read_sigma > 0
            and math.isfinite(self.offset)
        ):
            raise OptionError(
                "gain and read_sigma must be finite, at least 0 and not both 0,"
                f" got {self.gain} and {self.read_sigma}"
            )

    def variance(self, clean: ArrayLike) -> NDArray[np.float64]:
        """Variance of the noise where the clean image has these values."""
        signal = np.maximum(np.asarray(clean, np.float64) - self.offset, 0)
        return self.gain * signal + self.read_sigma**2

    def contrast(self, image: ArrayLike) -> float:
        """How many times stronger the noise is where the image is bright than where it is dark.

        The ratio of its standard deviations at the 95 % and 5 % quantiles of the image, at least
        1. Noise that does not depend on the signal is estimated at 1.0 to 1.2.
        """
        dark, bright = np.sqrt(
            self.variance(np.nanquantile(np.asarray(image, np.float64), [0.05, 0.95]))
        )
        return math.inf if dark == 0 else float(bright / dark)

    def stabilise(self, image: ArrayLike) -> NDArray[np.float64]:
        """Transform an image so that its noise has a standard deviation of about 1.

        The generalised Anscombe transform (Starck, Murtagh, Bijaoui 1998):
        2 sqrt(z + 3/8 + s²) with z and s in photons. Below about three photons a pixel the
        noise comes out weaker.

        Parameters
        ----------
        image : array of any shape, NaN where missing
        """
        values = np.asarray(image, np.float64) - self.offset
        if self.gain == 0:
            return values / self.read_sigma
        read = self.read_sigma / self.gain
        return 2 * np.sqrt(np.maximum(values / self.gain + 0.375 + read**2, 0))

    def restore(self, stabilised: ArrayLike) -> NDArray[np.float64]:
        """Clean image of the mean of a stabilised one: the unbiased inverse.

        The closed form of Mäkitalo and Foi (Optimal inversion of the generalized Anscombe
        transformation for Poisson-Gaussian noise, IEEE Transactions on Image Processing 22,
        2013), within 0.05 photons of the exact inverse. The result is at least `offset` unless
        the gain is 0.

        Parameters
        ----------
        stabilised : array of any shape, such as `stabilise` makes, denoised
        """
        values = np.asarray(stabilised, np.float64)
        if self.gain == 0:
            return values * self.read_sigma + self.offset
        read = self.read_sigma / self.gain
        d = np.maximum(values, 2 * math.sqrt(0.375))  # no light, no read noise
        photons = (
            d**2 / 4
            + math.sqrt(1.5) / 4 / d
            - 11 / 8 / d**2
            + math.sqrt(1.5) * 5 / 8 / d**3
            - 1 / 8
            - read**2
        )
        return self.gain * np.maximum(photons, 0) + self.offset

    def second_look(
        self, image: ArrayLike, estimate: ArrayLike
    ) -> tuple[NDArray[np.float64], PoissonGaussianNoise] | None:
        """The mean of both images and its noise, where there are few photons; else None.

        The transform stabilises few photons badly. In the mean of the image and a clean one there
        are as many as in the image, but with half the noise, as if there were four times as many
        (Azzari, Foi: Variance stabilization for noisy+estimate combination in iterative Poisson
        denoising, IEEE Signal Processing Letters 23, 2016, with one step of 1/2).
        """
        clean = np.asarray(estimate, np.float64)
        if self.gain == 0 or np.median(clean) - self.offset > FEW_PHOTONS * self.gain:
            return None
        share = SECOND_SHARE
        mixed = share * np.asarray(image, np.float64) + (1 - share) * clean
        return mixed, PoissonGaussianNoise(
            self.gain * share**2, self.read_sigma * share, self.offset
        )

    def summary(self, scale: str = "") -> str:
        """Such as "gain 2, read sigma 3"."""
        return f"gain {self.gain:.3g}, read sigma {self.read_sigma:.3g}"

    def report(self) -> dict[str, Any]:
        """As {"sensor": {"gain": 2.0, "read_sigma": 3.0, "offset": 0.0}}."""
        return {"sensor": asdict(self)}


def estimate_poisson_gaussian(image: ArrayLike) -> PoissonGaussianNoise | None:
    """Gain and read noise from one noisy image; None if it has no noise.

    Flat patches of each brightness give a variance, and the variances a line, robustly fitted.
    Where the line has no variance at 0 already, that brightness is the offset; else the offset
    is 0, since one image does not separate an offset from read noise. An image with less contrast
    than noise gets Gaussian noise.

    Parameters
    ----------
    image : (height, width) or (height, width, C), NaN where missing; channels share parameters

    Raises
    ------
    ImageError
        If the array is no image, or holds too little to measure on.
    """
    values = np.asarray(image, np.float64)
    known = values[np.isfinite(values)]
    extent = float(np.ptp(known)) if known.size else 0.0
    extent = extent if extent > 0 else 1.0
    means, variances, counts = noise_curve(values / extent)
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
    noise = estimate_poisson_gaussian(pixels)
    if noise is None or noise.contrast(pixels) < LEAST_CONTRAST:
        return None
    planes = [pixels[..., c] for c in range(pixels.shape[2])]
    return noise if all(_grows(plane) for plane in planes) else None


def _grows(plane: NDArray[np.float64]) -> bool:
    """Whether the noise of one channel grows with the light where the values are not clipped."""
    means, variances, counts = noise_curve(plane)
    lowest, _ = clipped_range(plane)
    clear = means > lowest + CLIPPING_DISTANCE * math.sqrt(variances.max())
    if clear.sum() < LEAST_STEPS:  # it is dark nearly everywhere
        clear[:] = True
    slope, intercept = _fit_line(means[clear], variances[clear], counts[clear])
    dark, bright = slope * means[clear][[0, -1]] + intercept
    return bool(bright > LEAST_GROWTH * dark)


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
    image: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Noise variance over brightness, on flat patches.

    Returns
    -------
    means, variances, counts : (K,) brightness of a step, variance of its noise, and the number
        of flat patches that it was measured on
    """
    patches = noisy_patches(image)
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
