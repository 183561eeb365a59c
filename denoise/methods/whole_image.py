"""Methods that work on whole images with white noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError
from denoise.noise.interface import Noise
from denoise.noise.white import BYTE_RANGE, WhiteImage
from denoise.options import RefinementOptions
from denoise.pipeline.results import Clock, DenoiseResult
from denoise.pipeline.run import Run


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
    white: WhiteImage,
    run: Run,
    method: Callable[[NDArray[np.float64], float], NDArray[np.float64]],
    *,
    device: str = "cpu",
    options: Any = None,
) -> DenoiseResult:
    """Run a method that expects images on 0..255.

    Parameters
    ----------
    white : with missing values only if the method fills them in
    method : from pixels (height, width) or (height, width, C), and the sigma of their noise, to
        denoised pixels
    device, options : of the method, for the result
    """
    clock = Clock()
    lowest, highest = white.limits
    unit = max(highest - lowest, white.sigma) / BYTE_RANGE
    pixels = (white.pixels - lowest) / unit
    sigma = white.sigma / unit
    denoised = method(pixels[..., 0] if pixels.shape[2] == 1 else pixels, sigma)
    denoised = denoised.reshape(pixels.shape)
    clock.lap("denoise")
    filters = None
    if run.overrides.refine:
        from denoise.methods.refined import filters_for  # needs torch

        filters = filters_for(run, white)
        denoised = _refined(pixels, denoised, filters, run, sigma)
        clock.lap("refine")
    result, _ = white.restored(denoised * unit + lowest)
    return DenoiseResult(
        image=result,
        noise=white.noise,
        seconds=clock.seconds,
        device=device,
        seed=run.seed,
        options=options,
        refinement=filters,
    )


def _refined(
    noisy: NDArray[np.float64],
    pilot: NDArray[np.float64],
    filters: RefinementOptions | None,
    run: Run,
    sigma: float,
) -> NDArray[np.float64]:
    """The filters of our refinement behind a method that did without torch."""
    import torch

    from denoise.devices import pick_device
    from denoise.methods.refined import refined

    device = pick_device(run.device)
    given, start = (
        torch.as_tensor(one, dtype=torch.float32, device=device) for one in (noisy, pilot)
    )
    found = refined(given, start, filters, run, sigma=sigma)
    return np.asarray(found.cpu().numpy(), np.float64)
