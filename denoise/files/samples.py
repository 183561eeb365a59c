"""Samples of a file become pixels, and back: integers on the scale 0..255, floats as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PEAK = 255.0
# NumPy's names of the types that can be denoised.
SAMPLE_TYPES = frozenset({"uint8", "uint16", "int8", "int16", "float16", "float32", "float64"})


def to_pixels(samples: NDArray[Any]) -> NDArray[np.floating]:
    """Samples of a file on the scale of pixels.

    Returns
    -------
    array of the same shape: float64 for float64 samples, else float32, which holds all values
        of 16 bits apart; integers are value * 255 / largest value of their type
    """
    if samples.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # a signalling NaN
            return samples.astype(np.float64 if samples.dtype.itemsize == 8 else np.float32)
    return samples.astype(np.float32) * np.float32(step_of(samples.dtype.name))


def step_of(sample_type: str) -> float:
    """How far two neighbouring values of an integer type lie apart on the 0..255 scale."""
    return PEAK / float(np.iinfo(sample_type).max)


def quantised(pixels: ArrayLike, sample_type: str) -> NDArray[Any]:
    """Pixels as they are written: the inverse of `to_pixels`.

    Parameters
    ----------
    pixels : finite, integers on the 0..255 scale
    sample_type : NumPy's name; integers are rounded and clipped to the range of their type
    """
    values = np.asarray(pixels)
    dtype = np.dtype(sample_type)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values * (limits.max / PEAK)), limits.min, limits.max).astype(dtype)


def without_value(
    samples: NDArray[Any], value: float | None, where: NDArray[np.bool_] | None
) -> NDArray[Any]:
    """Samples in which those that would be taken for missing data have the next value.

    Parameters
    ----------
    samples : (height, width) or (height, width, 3), finite
    value : that stands for missing data; None or NaN if no finite value does
    where : (height, width) bool, where data are missing indeed; None for nowhere
    """
    if value is None or not math.isfinite(value):
        return samples
    whole = samples.dtype.kind != "f"
    # The value is rounded to a float type; one beyond an integer type equals no sample.
    equal = samples == (value if whole else np.float64(value).astype(samples.dtype))
    if samples.ndim == 3 and whole:
        equal &= equal.all(2, keepdims=True)
    if where is not None:
        equal &= ~(where if samples.ndim == 2 else where[..., None])
    if not equal.any():
        return samples
    if not whole:
        return np.where(equal, np.nextafter(samples, samples.dtype.type(not value)), samples)
    step = -1 if value == np.iinfo(samples.dtype).max else 1
    return np.where(equal, samples.dtype.type(value + step), samples)


def to_8bit(pixels: ArrayLike) -> NDArray[np.uint8]:
    """Pixels rounded to whole gray levels and clipped to 0..255."""
    return quantised(pixels, "uint8")


def without_equal_channels(image: NDArray[Any]) -> NDArray[Any]:
    """(height, width) if (height, width, 3) has three equal channels, else as it is."""
    if image.ndim == 2:
        return image
    nan = image.dtype.kind == "f"
    first, *others = np.moveaxis(image, 2, 0)
    equal = all(np.array_equal(first, one, equal_nan=nan) for one in others)
    return first if equal else image


def with_equal_channels(gray: NDArray[Any]) -> NDArray[Any]:
    """(height, width, 3) of (height, width)."""
    return np.repeat(gray[..., None], 3, axis=2)


def split_alpha(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Samples and alpha of gray, gray and alpha, RGB or RGBA."""
    if array.ndim == 2:
        return array, None
    match array.shape[2]:
        case 1:
            return array[..., 0], None
        case 2:
            return array[..., 0], array[..., 1]
        case 4:
            return array[..., :3], array[..., 3]
    return array, None


def join_alpha(samples: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """The inverse of `split_alpha`."""
    return np.ascontiguousarray(samples if alpha is None else np.dstack([samples, alpha]))
