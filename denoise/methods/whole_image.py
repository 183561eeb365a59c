"""Methods that work on whole images with white noise, without missing values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError
from denoise.methods.run import Run
from denoise.noise.interface import Noise
from denoise.noise.white import BYTE_RANGE, WhiteImage
from denoise.results import Clock, DenoiseResult


def complete_image(
    image: ArrayLike, noise: float | Noise, data_range: float | None = None
) -> WhiteImage:
    """`WhiteImage.of` an image; raises an ImageError if a value is missing."""
    white = WhiteImage.of(image, noise, data_range)
    if np.isnan(white.pixels).any():
        raise ImageError(
            "the image has missing values, which only our own models and biharmonic fill in"
        )
    return white


def denoise_whole(
    image: ArrayLike,
    noise: float | Noise,
    run: Run,
    method: Callable[[NDArray[np.float64], float], NDArray[np.float64]],
    *,
    device: str = "cpu",
    options: Any = None,
    fills: bool = False,
) -> DenoiseResult:
    """Run a method that expects images on 0..255.

    Parameters
    ----------
    method : from pixels (height, width) or (height, width, C), and the sigma of their noise, to
        denoised pixels
    device, options : of the method, for the result
    fills : whether it fills in missing values, which are NaN
    """
    clock = Clock()
    white = (WhiteImage.of if fills else complete_image)(image, noise, run.data_range)
    lowest, highest = white.limits
    unit = max(highest - lowest, white.sigma) / BYTE_RANGE
    pixels = (white.pixels - lowest) / unit
    sigma = white.sigma / unit
    denoised = method(pixels[..., 0] if pixels.shape[2] == 1 else pixels, sigma)
    denoised = denoised.reshape(pixels.shape)
    clock.lap("denoise")
    if run.overrides.refine:
        denoised = _refined(pixels, denoised, run, sigma=sigma, data_range=white.data_range / unit)
        clock.lap("refine")
    result, _ = white.restored(denoised * unit + lowest)
    return DenoiseResult(
        image=result,
        noise=white.noise,
        seconds=clock.seconds,
        device=device,
        seed=run.seed,
        options=options,
    )


def _refined(
    noisy: NDArray[np.float64],
    pilot: NDArray[np.float64],
    run: Run,
    *,
    sigma: float,
    data_range: float,
) -> NDArray[np.float64]:
    """The filters of our refinement behind a method that did without torch."""
    import torch

    from denoise.devices import pick_device
    from denoise.methods.refined import refined

    device = pick_device(run.device)
    given, start = (
        torch.as_tensor(one, dtype=torch.float32, device=device) for one in (noisy, pilot)
    )
    found = refined(given, start, run, sigma=sigma, data_range=data_range)
    return np.asarray(found.cpu().numpy(), np.float64)
