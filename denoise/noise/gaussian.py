"""White Gaussian noise: its one parameter, given or estimated, and synthetic noise.

The estimate looks at flat patches of the noisy image; see flat_patches.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import OptionError
from denoise.noise.clipping import clipped_variance
from denoise.noise.flat_patches import (
    MOST_PATCHES,
    NoisyPatches,
    flat_variance,
    noisy_patches,
    split_energy,
)
from denoise.noise.pixels import ordinary_range

# What rounding of numbers leaves, as a share of the range.
NEGLIGIBLE = 1e-5
# Brightness and two colour differences, in which photographs have little texture.
OPPONENT_AXES = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])


@dataclass(frozen=True)
class GaussianNoise:
    """White Gaussian noise of one standard deviation, in the units of the image.

    With a sigma of 0 there is no noise, and all that can be done is to fill in missing pixels.

    Raises
    ------
    OptionError
        If sigma is negative or not finite.
    """

    sigma: float
    keeps_units: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < math.inf:
            raise OptionError(f"sigma must be a finite number of at least 0, got {self.sigma}")

    @property
    def stabilised_sigma(self) -> float:
        """Sigma itself."""
        return self.sigma

    def stabilise(self, image: ArrayLike) -> NDArray[np.float64]:
        """The image itself."""
        return np.asarray(image, np.float64)

    def restore(self, stabilised: ArrayLike) -> NDArray[np.float64]:
        """The image itself."""
        return np.asarray(stabilised, np.float64)

    def variance(self, clean: ArrayLike) -> NDArray[np.float64]:
        """The same everywhere."""
        return np.full(np.shape(clean), self.sigma * self.sigma)

    @property
    def correlation(self) -> NDArray[np.float64]:
        """None but with the pixel itself."""
        return np.ones((1, 1))

    def second_look(self, image: ArrayLike, estimate: ArrayLike, *, always: bool = False) -> None:
        """None: there is nothing to gain."""

    def summary(self, scale: str = "") -> str:
        """Such as "sigma 25 of 255"."""
        return f"sigma {self.sigma:.4g}{scale}"

    def report(self) -> dict[str, Any]:
        """As {"sigma": 25.0}."""
        return {"sigma": self.sigma}


def estimate_gaussian(image: ArrayLike) -> GaussianNoise | None:
    """The white Gaussian noise of an image, from its pixels alone.

    Where many values lie at a limit of the range they are taken for clipped, and patches near
    that limit are left out.

    Parameters
    ----------
    image : (height, width) or (height, width, C) real numbers of any range, NaN where missing

    Returns
    -------
    GaussianNoise, or None if most of the image has no noise at all. The noise of C channels is
        taken to be alike: sigma is the root of their mean variance. Noise that is smooth, as
        demosaicking and JPEG compression leave it, is underestimated.

    Raises
    ------
    ImageError
        If the array is no image, holds infinite values, or too little to measure on.
    """
    return measure_gaussian(image)[0]


def measure_gaussian(
    image: ArrayLike, most_patches: int = MOST_PATCHES
) -> tuple[GaussianNoise | None, bool]:
    """The same, and whether some of the image is flat, so that the noise is not overestimated."""
    patches = noisy_patches(image, most_patches)
    if np.ptp(patches.values, axis=2).any(1).mean() < 0.5:
        return None, True
    patches = patches.varied()
    variance, flat = _noise_variance(patches)
    for _ in range(3):
        unclipped = patches.unclipped(variance)
        if unclipped is patches:
            break
        variance, flat = _noise_variance(unclipped)
    if flat and patches.repeat():
        flat = False
    elif not flat:  # such as the text of a white page
        clipped = clipped_variance(patches)
        variance, flat = (variance, False) if clipped is None else (clipped, True)
    sigma = math.sqrt(variance)
    lowest, highest = ordinary_range(patches.values)
    return GaussianNoise(sigma) if sigma > NEGLIGIBLE * (highest - lowest) else None, flat


def _noise_variance(patches: NoisyPatches) -> tuple[float, bool]:
    """Mean over axes of colour; one with texture counts no more than those that look white.

    Also whether any of them looks white, on flat patches.
    """
    values = patches.values
    if values.shape[1] == 3:
        values = np.einsum("ac,ncd->nad", OPPONENT_AXES, values)
    axes = [
        flat_variance(*split_energy(values[:, axis], patches.fold))
        for axis in range(values.shape[1])
    ]
    trusted = max((variance for variance, count in axes if count > 0), default=math.inf)
    return float(np.mean([min(variance, trusted) for variance, _ in axes])), trusted < math.inf


def add_gaussian_noise(
    image: ArrayLike, sigma: float, *, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Add white Gaussian noise, neither clipped nor rounded.

    Clipping to 0..255 makes the input better and the problem another one
    (House at sigma 50: 14.6 instead of 14.2 dB), so benchmarks leave it out.

    Parameters
    ----------
    image : array of any shape
    sigma : standard deviation, in the units of `image`

    Returns
    -------
    float64 array of the same shape
    """
    clean = np.asarray(image, dtype=np.float64)
    return clean + sigma * generator.standard_normal(clean.shape)
