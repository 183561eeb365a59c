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
class Scale:
    """What depends on all values of an image, and is the same for all parts of it.

    Attributes
    ----------
    ordinary : lowest and highest value as it was given, without the tails
    sigma : standard deviation of the noise for the denoiser, larger than it is where it is too
        small for float32
    limits : where the values of `WhiteImage.pixels` lie: from 0 to the range of the data if that
        is known, else all that occur
    data_range : largest difference in the clean image, known or estimated
    origin : what was subtracted, since float32 would have rounded the values coarsely
    shift : what is added to the restored image so that its mean is that of the noisy one, where
        noise changes the units; None if that is found for each image
    """

    ordinary: tuple[float, float]
    sigma: float
    limits: tuple[float, float]
    data_range: float
    origin: float = 0.0
    shift: float | None = None


@dataclass(frozen=True)
class WhiteImage:
    """An image whose noise has been made white.

    Attributes
    ----------
    pixels : (height, width, C) float64, NaN where missing
    scale : of the image, or of a larger one of which this is a part
    noise : of the image as it was given
    original : (height, width, C) float64, the image as it was given
    kept : (height, width, C), values that stay as they are: extreme ones and those of blank areas
    shape : of the image as it was given
    """

    pixels: NDArray[np.float64]
    scale: Scale
    noise: Noise
    original: NDArray[np.float64]
    kept: NDArray[np.bool_]
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls,
        image: ArrayLike,
        noise: float | Noise,
        data_range: float | None = None,
        scale: Scale | None = None,
    ) -> WhiteImage:
        """Stabilise an image.

        Parameters
        ----------
        image : (height, width) or (height, width, C), NaN where missing
        noise : in the units of the image; a number is the sigma of white Gaussian noise; 0 for
            none, so that all values stay as they are and missing ones are filled in
        data_range : of the clean image, from 0, in its units; None means 255 for uint8, and
            otherwise that it is estimated. Where the noise changes the units, it always is
        scale : of the image of which this is a part; None means that it is a whole one

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
        noisy = known.stabilised_sigma > 0
        seen = known if noisy else _assumed_noise(original, scale)
        values = ordinary_range(original) if scale is None else scale.ordinary
        ordinary, extreme = without_extremes(original, seen, values)
        pixels = known.stabilise(ordinary)
        if data_range is not None and not 0 < data_range < math.inf:
            raise OptionError(f"data_range must be positive and finite, got {data_range}")
        if scale is None:
            if data_range is None and np.asarray(image).dtype == np.uint8:
                data_range = BYTE_RANGE
            exact = np.asarray(image).dtype == np.float64
            origin = far_origin(pixels, seen.stabilised_sigma) if exact else 0.0
            scale = _scale_of(pixels - origin, seen, data_range if known.keeps_units else None)
            scale = replace(scale, ordinary=values, origin=origin)
        pixels = pixels - scale.origin if scale.origin else pixels
        kept = extreme | blank_areas(original)[..., None] if noisy else ~missing
        return cls(pixels, scale, known, original, kept, np.shape(image))

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise for the denoiser."""
        return self.scale.sigma

    @property
    def correlated(self) -> bool:
        """Whether the noise was correlated between pixels before it was made white."""
        return self.noise.correlation.size > 1

    @property
    def limits(self) -> tuple[float, float]:
        """Where the values lie; see `Scale`."""
        return self.scale.limits

    @property
    def data_range(self) -> float:
        """Largest difference in the clean image; see `Scale`."""
        return self.scale.data_range

    def second_look(
        self, denoised: NDArray[np.floating], scale: Scale | None = None
    ) -> WhiteImage | None:
        """The image to denoise next, once its clean version is roughly known (`Noise.second_look`).

        Parameters
        ----------
        denoised : shaped like the image as it was given
        scale : of the larger image of which this is a part, if all parts are looked at again
        """
        clean = denoised.reshape(self.original.shape)
        given = np.where(self.kept, clean, self.original)
        found = self.noise.second_look(given, clean, always=scale is not None)
        if found is None:
            return None
        image, noise = found
        white = WhiteImage.of(image.reshape(self.shape), noise, scale=scale)
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
        if self.scale.origin:
            denoised = denoised.astype(np.float64) + self.scale.origin
        image = self.noise.restore(denoised)
        if not self.noise.keeps_units:
            # A small error of the mean is magnified on the way back.
            shift = self.scale.shift
            image = image + (self.mean_change(image) if shift is None else shift)
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

    def mean_change(self, image: NDArray[np.floating]) -> float:
        """Mean of what was taken from the noisy image (height, width, C), where it was changed."""
        changed = ~self.kept & ~np.isnan(self.original)
        return float(np.mean((self.original - image)[changed])) if changed.any() else 0.0

    def _shaped(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        shaped: NDArray[np.floating] = values.reshape(self.shape)
        return shaped.astype(np.float64) if self.scale.origin else shaped.astype(np.float32)


def _scale_of(pixels: NDArray[np.float64], seen: Noise, data_range: float | None) -> Scale:
    """Of the pixels of a whole image."""
    check_sigma(seen.stabilised_sigma, pixels)
    sigma = working_sigma(pixels, seen.stabilised_sigma)
    values = (float(np.nanmin(pixels)), float(np.nanmax(pixels)))
    if data_range is None:
        return Scale(values, sigma, values, clean_range(pixels, sigma))
    return Scale(values, sigma, (0.0, data_range), data_range)


def _assumed_noise(original: NDArray[np.float64], scale: Scale | None) -> GaussianNoise:
    """What a denoiser is told of an image without noise."""
    if scale is not None:
        return GaussianNoise(scale.sigma)
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
