"""What every kind of noise offers to those that denoise under it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Noise(Protocol):
    """The noise of an image, in the units of its values.

    Denoisers expect white Gaussian noise of one standard deviation. `stabilise` brings an image
    to where its noise is like that, and `restore` brings back what a denoiser made of it.
    """

    @property
    def stabilised_sigma(self) -> float:
        """Standard deviation of the noise in a stabilised image."""

    @property
    def keeps_units(self) -> bool:
        """Whether a stabilised image is the image itself: its noise is white already."""

    def stabilise(self, image: ArrayLike) -> NDArray[np.float64]:
        """Transform an image (height, width, C), NaN where missing, so that its noise is white."""

    def restore(self, stabilised: ArrayLike) -> NDArray[np.float64]:
        """The clean image (height, width, C) of the mean of its noisy versions, stabilised."""

    def variance(self, clean: ArrayLike) -> NDArray[np.float64]:
        """Variance of the noise where the clean image has these values."""

    @property
    def correlation(self) -> NDArray[np.float64]:
        """Of pixels so many rows and columns apart, as a mean over channels: (R + 1, R + 1).

        Where the noise depends on the light, it is divided by its standard deviation first.
        """

    def second_look(
        self, image: ArrayLike, estimate: ArrayLike, *, always: bool = False
    ) -> tuple[NDArray[np.float64], Noise] | None:
        """An image that has less noise, and this noise, once the clean one is roughly known.

        None if stabilising works well enough without, by the brightness of the image unless
        `always`. Both images are (height, width, C).
        """

    def summary(self, scale: str = "") -> str:
        """The parameters in a few words; `scale` is a remark on their units, such as " of 255"."""

    def report(self) -> dict[str, Any]:
        """The parameters as fields of a JSON report, which differ from kind to kind."""
