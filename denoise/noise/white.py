"""An image as denoisers see it, and the way back.

Whatever the noise, a denoiser gets pixels with white noise of one sigma and without values that
are out of proportion; what it makes of them is brought back to the units of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError, OptionError
from denoise.noise.blank import blank_areas
from denoise.noise.extremes import without_extremes, working_sigma
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.pixels import as_pixels, clean_range, far_origin, ordinary_range

# As a share of the range of the image: weaker noise is lost in the rounding of its values.
LEAST_SIGMA = 1e-6
# As a multiple of the largest value: stronger noise leaves nothing of an image.
LARGEST_SIGMA = 1e3
# Without noise, a denoiser is told of this much, as a share of the range, to fill in pixels.
ASSUMED_SIGMA = 10 / 255
# In units of sigma: noise is hardly ever stronger.
LARGEST_CHANGE = 3.0
# The range of images of bytes.
BYTE_RANGE = 255.0


@dataclass(frozen=True)
class WhiteImage:
    """An image whose noise has been made white.

    Attributes
    ----------
    pixels : (height, width, C) float64, NaN where missing
    sigma : standard deviation of the noise for the denoiser, larger than it is where it is too
        small for float32
    limits : where the values of `pixels` lie: from 0 to the range of the data if that is known,
        else all that occur
    data_range : largest difference in the clean image, known or estimated
    noise : of the image as it was given
    origin : what was subtracted, since float32 would have rounded the values coarsely
    original : (height, width, C) float64, the image as it was given
    kept : (height, width, C), values that stay as they are: extreme ones and those of blank areas
    shape : of the image as it was given
    """

    pixels: NDArray[np.float64]
    sigma: float
    limits: tuple[float, float]
    data_range: float
    noise: Noise
    origin: float
    original: NDArray[np.float64]
    kept: NDArray[np.bool_]
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls, image: ArrayLike, noise: float | Noise, data_range: float | None = None
    ) -> WhiteImage:
        """Stabilise an image.

        Parameters
        ----------
        image : (height, width) or (height, width, C), NaN where missing
        noise : in the units of the image; a number is the sigma of white Gaussian noise; 0 for
            none, so that all values stay as they are and missing ones are filled in
        data_range : of the clean image, from 0, in its units; None means 255 for uint8, and
            otherwise that it is estimated. Where the noise changes the units, it always is

        Raises
        ------
        ImageError
            If the array is no image, infinite somewhere or missing everywhere.
        OptionError
            If no image like this one can have such noise or range, or there is neither noise nor
            a missing value.
        """
        original = as_pixels(image)
        missing = np.isnan(original)
        if missing.all():
            raise ImageError("the image holds no value at all")
        if noise is None:  # such as an estimate
            raise OptionError("noise is None: there is nothing to remove")
        known: Noise = (
            GaussianNoise(float(noise)) if isinstance(noise, float | int | np.number) else noise
        )
        seen = known if known.stabilised_sigma > 0 else _assumed_noise(original)
        ordinary, extreme = without_extremes(original, seen)
        pixels = known.stabilise(ordinary)
        origin = (
            far_origin(pixels, seen.stabilised_sigma)
            if np.asarray(image).dtype == np.float64
            else 0.0
        )
        pixels = pixels - origin if origin else pixels
        check_sigma(seen.stabilised_sigma, pixels)
        sigma = working_sigma(pixels, seen.stabilised_sigma)
        if data_range is None and np.asarray(image).dtype == np.uint8:
            data_range = BYTE_RANGE
        if data_range is not None and not 0 < data_range < math.inf:
            raise OptionError(f"data_range must be positive and finite, got {data_range}")
        if data_range is not None and known.keeps_units:
            limits = (0.0, data_range)
        else:
            limits = (float(np.nanmin(pixels)), float(np.nanmax(pixels)))
            data_range = clean_range(pixels, sigma)
        shape = np.shape(image)
        kept = extreme | blank_areas(original)[..., None] if seen is known else ~missing
        return cls(pixels, sigma, limits, data_range, known, origin, original, kept, shape)

    def second_look(self, denoised: NDArray[np.floating]) -> WhiteImage | None:
        """The image to denoise next, once its clean version is roughly known (`Noise.second_look`).

        Parameters
        ----------
        denoised : shaped like the image as it was given
        """
        clean = denoised.reshape(self.original.shape)
        found = self.noise.second_look(np.where(self.kept, clean, self.original), clean)
        if found is None:
            return None
        image, noise = found
        white = WhiteImage.of(image.reshape(self.shape), noise)
        return replace(white, original=self.original, kept=self.kept)

    def restored(
        self, denoised: NDArray[np.floating], sigma: NDArray[np.floating] | None = None
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """Bring back what a denoiser made of `pixels`.

        Parameters
        ----------
        denoised : (height, width, C)
        sigma : standard deviation of each of these values, if known

        Returns
        -------
        image, sigma : in the shape and units of the image as it was given; float32, or float64
            where that would round the image coarsely
        """
        white = self.noise.stabilised_sigma
        if self.sigma > white:  # the denoiser saw more noise than there is
            near = LARGEST_CHANGE * white
            clipped = np.clip(denoised, self.pixels - near, self.pixels + near)
            denoised = np.where(np.isnan(self.pixels), denoised, clipped)
        denoised = denoised.astype(np.float32)
        if self.origin:
            denoised = denoised.astype(np.float64) + self.origin
        image = self.noise.restore(denoised)
        changed = ~self.kept & ~np.isnan(self.original)
        if not self.noise.keeps_units and changed.any():
            # A small error of the mean is magnified on the way back.
            image = image + np.mean((self.original - image)[changed])
        image = np.where(self.kept, self.original, image)
        if sigma is None:
            return self._shaped(image), None
        sigma = np.where(self.kept, white, sigma).astype(np.float32)
        if white == 0:
            return self._shaped(image), self._shaped(sigma)
        # A step of one sigma after the transform is one sigma before it.
        return self._shaped(image), self._shaped(
            sigma * (np.sqrt(self.noise.variance(image)) / white)
        )

    def _shaped(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        shaped: NDArray[np.floating] = values.reshape(self.shape)
        return shaped.astype(np.float64) if self.origin else shaped.astype(np.float32)


def _assumed_noise(original: NDArray[np.float64]) -> GaussianNoise:
    """What a denoiser is told of an image without noise."""
    if not np.isnan(original).any():
        raise OptionError("sigma is 0 and no value is missing: there is nothing to do")
    data_range = float(np.nanmax(original) - np.nanmin(original))
    return GaussianNoise(ASSUMED_SIGMA * data_range or 1.0)


def check_sigma(sigma: float, pixels: NDArray[np.float64]) -> None:
    """Raise if no image like `pixels` can have white noise of this sigma.

    Raises
    ------
    OptionError
        If it is too small for the range of the values, or too large for the values.
    """
    lowest, highest = ordinary_range(pixels)
    if sigma < LEAST_SIGMA * (highest - lowest):
        raise OptionError(
            f"sigma {sigma:g} is too small for values that differ by {highest - lowest:g};"
            " give the noise in the units of the image"
        )
    largest = float(np.nanmax(np.abs(pixels)))
    if 0 < LARGEST_SIGMA * largest < sigma:
        raise OptionError(
            f"sigma {sigma:g} is too large for values of at most {largest:g};"
            " give the noise in the units of the image"
        )
