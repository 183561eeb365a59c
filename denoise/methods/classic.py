"""Classic denoisers of other libraries, with settings chosen from the noisy image alone.

Where a method has a strength to set, it is the one with the least risk by Stein's unbiased
estimate, whose divergence term is measured with one random probe (Monte-Carlo SURE: Ramani, Blu,
Unser, IEEE Transactions on Image Processing 17, 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from skimage.restoration import (
    denoise_nl_means,
    denoise_tv_chambolle,
    denoise_wavelet,
    inpaint_biharmonic,
)

from denoise.errors import OptionError
from denoise.methods.whole_image import complete_image, denoise_whole
from denoise.noise.interface import Noise
from denoise.noise.white import WhiteImage
from denoise.pipeline.results import DenoiseResult
from denoise.pipeline.run import DEFAULT_RUN, Run

Array = NDArray[np.float64]
# Widths of the blur in pixels, weights and strengths in units of sigma.
BLUR_WIDTHS = (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0)
TV_WEIGHTS = (0.5, 0.7, 0.9, 1.1, 1.4)
NLM_STRENGTHS = (0.4, 0.6, 0.8, 1.0)
# Size of the probe, in units of sigma.
PROBE = 0.1


def denoise_with_filter(
    name: str, image: ArrayLike, noise: float | Noise, run: Run = DEFAULT_RUN
) -> DenoiseResult:
    """Denoise an image of any range with one of `FILTERS`; see `denoise_image` for the rest.

    Raises
    ------
    OptionError
        If the package of the filter is missing, too.
    """
    white_image = WhiteImage.of if name in FILLERS else complete_image
    return denoise_whole(
        white_image(image, noise, run.data_range),
        run,
        lambda pixels, sigma: FILTERS[name](pixels, sigma, run.seed),
    )


def noisy(image: Array, sigma: float, seed: int) -> Array:
    """The image as it is."""
    return image


def blur(image: Array, sigma: float, seed: int) -> Array:
    """Gaussian blur."""

    def filtered(values: Array, width: float) -> Array:
        widths = (width, width, 0.0)[: values.ndim]
        return np.asarray(gaussian_filter(values, widths, mode="reflect"), np.float64)

    return _least_risk(filtered, BLUR_WIDTHS, image, sigma, seed)


def total_variation(image: Array, sigma: float, seed: int) -> Array:
    """Total variation (Chambolle 2004), by scikit-image."""

    def filtered(values: Array, weight: float) -> Array:
        return np.asarray(
            denoise_tv_chambolle(values, weight=weight * sigma, channel_axis=_channel_axis(values))
        )

    return _least_risk(filtered, TV_WEIGHTS, image, sigma, seed)


def nl_means(image: Array, sigma: float, seed: int) -> Array:
    """Non-local means (Buades, Coll, Morel 2005), by scikit-image: patches 5×5, window 23×23."""

    def filtered(values: Array, strength: float) -> Array:
        return np.asarray(
            denoise_nl_means(
                values,
                patch_size=5,
                patch_distance=11,
                h=strength * sigma,
                sigma=sigma,
                fast_mode=True,
                channel_axis=_channel_axis(values),
            )
        )

    return _least_risk(filtered, NLM_STRENGTHS, image, sigma, seed)


def wavelet(image: Array, sigma: float, seed: int) -> Array:
    """Wavelet shrinkage with BayesShrink's thresholds (Chang, Yu, Vetterli 2000), by scikit-image.

    Needs PyWavelets, which scikit-image does not bring along.
    """
    try:
        shifted = denoise_wavelet(
            image / 255,
            sigma=sigma / 255,
            method="BayesShrink",
            mode="soft",
            channel_axis=_channel_axis(image),
            rescale_sigma=True,
        )
    except ImportError:
        raise OptionError("wavelet needs a package: pip install PyWavelets") from None
    return np.asarray(shifted, np.float64) * 255


def bm3d(image: Array, sigma: float, seed: int) -> Array:
    """BM3D (Dabov et al. 2007), by the package of its authors: not for commercial use."""
    try:
        from bm3d import bm3d as authors_bm3d
        from bm3d import bm3d_rgb
    except ImportError:
        raise OptionError(
            "bm3d needs the package of its authors, not for commercial use: pip install bm3d"
        ) from None
    denoised = authors_bm3d(image, sigma) if image.ndim == 2 else bm3d_rgb(image, sigma)
    return np.asarray(denoised, np.float64)


def biharmonic(image: Array, sigma: float, seed: int) -> Array:
    """Missing values by the biharmonic equation, by scikit-image; noise stays."""
    missing = np.isnan(image).reshape(*image.shape[:2], -1).any(2)
    return np.asarray(
        inpaint_biharmonic(np.nan_to_num(image), missing, channel_axis=_channel_axis(image)),
        np.float64,
    )


# Functions of an image (height, width) or (height, width, C) on 0..255, sigma and seed.
FILTERS: dict[str, Callable[[Array, float, int], Array]] = {
    "noisy": noisy,
    "blur": blur,
    "tv": total_variation,
    "nl-means": nl_means,
    "wavelet": wavelet,
    "bm3d": bm3d,
    "biharmonic": biharmonic,
}
# The filters that fill in missing values.
FILLERS = ("biharmonic",)


def _channel_axis(image: Array) -> int | None:
    return None if image.ndim == 2 else -1


def _least_risk(
    filtered: Callable[[Array, float], Array],
    settings: Sequence[float],
    image: Array,
    sigma: float,
    seed: int,
) -> Array:
    """The result of the setting with the least estimated risk."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], image.shape)
    step = PROBE * sigma
    results = []
    for setting in settings:
        result = filtered(image, setting)
        change = filtered(image + step * signs, setting) - result
        divergence = float(np.mean(signs * change)) / step
        risk = float(np.mean((result - image) ** 2)) + 2 * sigma**2 * divergence
        results.append((risk, result))
    return min(results, key=lambda pair: pair[0])[1]
