"""Noise that is correlated between pixels or colours, and what makes it white."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dctn, idctn

from denoise.errors import ImageError, OptionError
from denoise.noise.colours import whitened_to_opponent
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.noise.spectrum import power

Array = NDArray[np.float64]
Table = tuple[tuple[float, ...], ...]

# Largest error of the sums of squares of axes that are called orthonormal.
ORTHONORMAL = 1e-6
# Correlations of at least this size count for the range that a summary states.
NOTABLE = 0.1


@dataclass(frozen=True)
class ColouredNoise:
    """Stationary noise with a covariance over offsets for each of C axes of colour space.

    The axes are orthonormal, and the noise along one is independent of that along another. Where
    the noise grows with the light, this is the noise of the image that `growth` has stabilised.

    Attributes
    ----------
    covariances : C tables (R + 1, R + 1): of pixels that lie so many rows and columns apart, in
        either direction, in the units of the image or, with growth, of the stabilised image
    axes : (C, C), one axis per row, or None for a gray image or the channels themselves
    growth : how the variance depends on the light, or None if it does not

    Raises
    ------
    OptionError
        If tables are empty, not alike or not finite, a variance is not positive, or the axes are
        not orthonormal.
    """

    covariances: tuple[Table, ...]
    axes: Table | None = None
    growth: PoissonGaussianNoise | None = None
    stabilised_sigma: ClassVar[float] = 1.0
    keeps_units: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for table in self.covariances:
            widths = {len(row) for one in self.covariances for row in one}
            alike = len(widths) == 1 and 0 not in widths and len(table) == len(self.covariances[0])
            if not alike or not np.isfinite(np.array(table)).all() or table[0][0] <= 0:
                raise OptionError(
                    "covariances must be tables of one size, of finite numbers, a positive variance"
                    " first"
                )
        if not self.covariances:
            raise OptionError("covariances must hold a table for each axis of colour space")
        if self.axes is not None:
            axes, count = np.array(self.axes, np.float64), len(self.covariances)
            unit = axes.shape == (count, count) and np.isfinite(axes).all()
            if not unit or np.abs(axes @ axes.T - np.eye(count)).max() > ORTHONORMAL:
                raise OptionError(f"axes must be {count} orthonormal vectors of {count} numbers")

    @classmethod
    def of(
        cls,
        covariances: list[Array],
        axes: Array | None = None,
        growth: PoissonGaussianNoise | None = None,
    ) -> ColouredNoise:
        """The same from arrays."""
        tables = tuple(_table(one) for one in covariances)
        return cls(tables, None if axes is None else _table(axes), growth)

    @property
    def channels(self) -> int:
        """Number C of channels of an image with such noise."""
        return len(self.covariances)

    @property
    def sigma(self) -> float:
        """Root of the mean variance over channels, before `growth`."""
        return math.sqrt(np.mean([table[0][0] for table in self.covariances]))

    def stabilise(self, image: ArrayLike) -> Array:
        """Transform an image (height, width, C) so that its noise is white with variance 1.

        What is missing is filled with the nearest pixel for the transform, and missing after it.
        Along each axis of colour space, the cosine transform is divided by the root of the power
        of the noise; then channels are turned so that pictures are uncorrelated along the opponent
        axes: denoisers look at brightness and colour differences apart.
        """
        pixels = np.asarray(image, np.float64)
        if self.growth is not None:
            pixels = self.growth.stabilise(pixels)
        missing = np.isnan(pixels)
        white = self._filtered(_filled(pixels, missing), -0.5) @ self._turn().T
        white[missing] = np.nan
        return white

    def restore(self, stabilised: ArrayLike) -> Array:
        """The clean image (height, width, C) of a denoised `stabilise`d one."""
        coloured = self._filtered(np.asarray(stabilised, np.float64) @ self._turn(), 0.5)
        return coloured if self.growth is None else self.growth.restore(coloured)

    def variance(self, clean: ArrayLike) -> Array:
        """Variance of the noise where the clean image (..., C) has these values."""
        values = np.asarray(clean, np.float64)
        per_axis = np.array([table[0][0] for table in self.covariances])
        # Rows of the axes are orthonormal, so that their squares share variances out.
        per_channel = np.square(self._axes()).T @ per_axis
        if values.ndim == 0 or values.shape[-1] != self.channels:
            per_channel = np.asarray(per_channel.mean())
        if self.growth is None:
            return np.broadcast_to(per_channel, values.shape).copy()
        return np.asarray(self.growth.variance(values) * per_channel)

    @property
    def correlation(self) -> Array:
        """Of pixels so many rows and columns apart, as a mean over channels: (R + 1, R + 1)."""
        total = np.sum([np.array(table) for table in self.covariances], axis=0)
        return np.asarray(total / total[0, 0], np.float64)

    def second_look(self, image: ArrayLike, estimate: ArrayLike, *, always: bool = False) -> None:
        """None: there is nothing to gain."""

    def summary(self, scale: str = "") -> str:
        """Such as "sigma 12.3 of 255, correlated over 2 pixels"."""
        reach = self.correlation_length
        if self.growth is None:
            sigmas = np.sqrt(self.variance(np.zeros(self.channels)))
            same = sigmas.max() < 1.05 * sigmas.min()
            text = "sigma " + "/".join(f"{one:.3g}" for one in (sigmas[:1] if same else sigmas))
            text += scale
        else:
            text = f"{self.growth.summary(scale)}, times {self.sigma:.3g}"
        return text + (f", correlated over {reach} pixel{'s'[: reach > 1]}" if reach else "")

    @property
    def correlation_length(self) -> int:
        """Largest offset in pixels, along rows or columns, with a notable correlation."""
        found = np.abs(self.correlation)
        along = np.maximum(found[0, :], found[:, 0])
        return int(np.flatnonzero(along >= NOTABLE).max())

    def report(self) -> dict[str, Any]:
        """As {"sigma": ..., "coloured": {"covariances": ..., "axes": ...}}, perhaps "sensor"."""
        fields: dict[str, Any] = {"covariances": self.covariances, "axes": self.axes}
        if self.growth is not None:
            return {"coloured": fields, **self.growth.report()}
        return {"sigma": self.sigma, "coloured": fields}

    def _turn(self) -> Array:
        """The rotation of white channels (C, C) after which opponent axes are uncorrelated."""
        axes = self._axes()
        sigmas = np.sqrt([table[0][0] for table in self.covariances])
        return whitened_to_opponent((axes.T / sigmas) @ axes)

    def _axes(self) -> Array:
        return np.eye(self.channels) if self.axes is None else np.array(self.axes)

    def _filtered(self, pixels: Array, exponent: float) -> Array:
        """Multiply the cosine transform along each axis with this power of the noise's power."""
        if pixels.shape[2] != self.channels:
            raise ImageError(
                f"the noise is that of {self.channels} channels, but the image has"
                f" {pixels.shape[2]}"
            )
        axes = self._axes()
        planes = np.moveaxis(pixels @ axes.T, 2, 0)
        shape = (pixels.shape[0], pixels.shape[1])
        filtered = [
            idctn(
                dctn(plane, norm="ortho") * power(np.array(table), shape) ** exponent, norm="ortho"
            )
            for plane, table in zip(planes, self.covariances, strict=True)
        ]
        return np.asarray(np.stack(filtered, axis=2) @ axes, np.float64)


def _table(values: Array) -> Table:
    return tuple(tuple(float(number) for number in row) for row in values)


def _filled(pixels: Array, missing: NDArray[np.bool_]) -> Array:
    """Missing values replaced by those of the nearest pixel that is complete."""
    if not missing.any():
        return pixels
    from scipy.ndimage import distance_transform_edt

    _, (rows, columns) = distance_transform_edt(missing.any(2), return_indices=True)
    nearest = pixels[rows, columns]
    # An image without any complete pixel: the mean of what there is.
    nearest = np.where(np.isnan(nearest), np.nanmean(pixels), nearest)
    return np.where(missing, nearest, pixels)
