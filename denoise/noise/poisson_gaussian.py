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

# The median of the photons from which on a second look gains nothing, and the share of the image
# in it.
FEW_PHOTONS, SECOND_SHARE = 10.0, 0.5


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

    @property
    def correlation(self) -> NDArray[np.float64]:
        """None but with the pixel itself."""
        return np.ones((1, 1))

    def second_look(
        self, image: ArrayLike, estimate: ArrayLike, *, always: bool = False
    ) -> tuple[NDArray[np.float64], PoissonGaussianNoise] | None:
        """The mean of both images and its noise, where there are few photons; else None.

        The transform stabilises few photons badly. In the mean of the image and a clean one there
        are as many as in the image, but with half the noise, as if there were four times as many
        (Azzari, Foi: Variance stabilization for noisy+estimate combination in iterative Poisson
        denoising, IEEE Signal Processing Letters 23, 2016, with one step of 1/2).
        """
        clean = np.asarray(estimate, np.float64)
        if self.gain == 0:
            return None
        if not always and np.median(clean) - self.offset > FEW_PHOTONS * self.gain:
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
