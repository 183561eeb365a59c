"""Quality of an image against a clean reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Quality:
    """An image against the clean reference, before and after; SSIM is None for tiny images."""

    psnr_noisy: float
    psnr: float
    ssim_noisy: float | None
    ssim: float | None


def psnr(reference: ArrayLike, image: ArrayLike, data_range: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(range^2 / MSE), in float64; inf if equal.

    Parameters
    ----------
    reference, image : arrays of one shape
    data_range : the peak, 255 for images on the 0..255 scale

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    first, second = np.asarray(reference, np.float64), np.asarray(image, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"reference has shape {first.shape}, image {second.shape}")
    return psnr_of(float(np.mean((first - second) ** 2)), data_range)


def psnr_of(squared_error: float, data_range: float) -> float:
    """PSNR in dB of a mean squared error."""
    return math.inf if squared_error == 0 else 10 * math.log10(data_range**2 / squared_error)


def ssim(reference: ArrayLike, image: ArrayLike, data_range: float = 255.0) -> float | None:
    """Mean structural similarity with the 11×11 Gaussian window of Wang et al. (2004).

    Parameters
    ----------
    reference, image : (height, width) or (height, width, C)
    data_range : the peak, 255 for images on the 0..255 scale

    Returns
    -------
    float, at most 1, or None for images smaller than the window
    """
    from skimage.metrics import structural_similarity

    first, second = np.asarray(reference, np.float64), np.asarray(image, np.float64)
    if min(first.shape[:2]) < 11:
        return None
    return float(
        structural_similarity(
            first,
            second,
            data_range=data_range,
            channel_axis=-1 if first.ndim == 3 else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
