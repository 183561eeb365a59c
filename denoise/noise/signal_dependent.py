"""Denoise images whose noise grows with the signal: stabilise, denoise, transform back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from denoise.noise.level import sigma_of_255
from denoise.noise.poisson_gaussian import PoissonGaussian, estimate_poisson_gaussian
from denoise.options import DenoiseOptions
from denoise.pipeline import denoise_image
from denoise.presets import DEFAULT_PRESET, preset
from denoise.results import DenoiseResult, Progress
from denoise.vae.learned import LearnedVAE

DEFAULT_OPTIONS = partial(preset, DEFAULT_PRESET)


def denoise_poisson_gaussian(
    image: ArrayLike,
    noise: PoissonGaussian | None = None,
    *,
    options_for: Callable[[float], DenoiseOptions] = DEFAULT_OPTIONS,
    models: Sequence[LearnedVAE] | None = None,
    with_uncertainty: bool = False,
    time_budget: float | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> DenoiseResult:
    """Denoise one image with photon noise and read noise, as `denoise_image` does white noise.

    The generalised Anscombe transform gives the noise a standard deviation of 1 everywhere; its
    unbiased inverse brings the denoised image back (Mäkitalo, Foi 2013).

    Parameters
    ----------
    image : (height, width) or (height, width, C), NaN where missing
    noise : its parameters, in the units of the image; None estimates them
    options_for : settings for white noise of a given sigma on the 0..255 scale

    Returns
    -------
    DenoiseResult
        `image` and `uncertainty` in the units of the input; `sigma`, `learned_sigma` and the
        models are those of the transformed image, where sigma is 1.

    Raises
    ------
    ImageError, OptionError, DeviceError, TrainingError
        As `denoise_image`; an ImageError too if there is no noise to estimate.
    """
    noise = noise or estimate_poisson_gaussian(image)
    stabilised = noise.stabilise(image)
    result = denoise_image(
        stabilised,
        1.0,
        options=options_for(sigma_of_255(1.0, stabilised)),
        models=models,
        with_uncertainty=with_uncertainty,
        time_budget=time_budget,
        seed=seed,
        device=device,
        on_progress=on_progress,
    )
    restored = noise.restore(result.image)
    uncertainty = result.uncertainty
    if uncertainty is not None:  # a step of 1 after the transform is one sigma before it
        uncertainty = (uncertainty * np.sqrt(noise.variance(restored))).astype(np.float32)
    return replace(result, image=restored.astype(np.float32), uncertainty=uncertainty)
