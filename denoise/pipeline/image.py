"""The whole method on one screen: noisy array in, denoised array and its provenance out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from denoise.devices import out_of_memory_reported, pick_device
from denoise.errors import OptionError
from denoise.noise.interface import Noise
from denoise.noise.white import WhiteImage
from denoise.options import DenoiseOptions
from denoise.pipeline.budget import fit_to_time
from denoise.pipeline.results import DenoiseResult, Progress
from denoise.pipeline.run import Run
from denoise.pipeline.stages import Stages, on_device, same_bytes
from denoise.presets import DEFAULT_PRESET, NO_OVERRIDES, Overrides
from denoise.vae.learned import LearnedVAE


def denoise_image(
    image: ArrayLike,
    noise: float | Noise,
    *,
    preset: str = DEFAULT_PRESET,
    overrides: Overrides = NO_OVERRIDES,
    options: DenoiseOptions | None = None,
    data_range: float | None = None,
    models: Sequence[LearnedVAE] | None = None,
    with_uncertainty: bool = False,
    time_budget: float | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> DenoiseResult:
    """Denoise one image with a binary-latent VAE trained on its own patches.

    Parameters
    ----------
    image : (height, width) or (height, width, C) real numbers of any range; NaN marks a
        missing value, which is filled in, holes from their border inwards; values more than a
        thousand sigma outside the range of the others are kept as they are
    noise : in the units of `image`; a number is the standard deviation of white Gaussian noise, 0
        for an image without noise, of which only the missing values are filled in.
        Other noise is made white first (`Noise.stabilise`)
    preset : "fast", "balanced", "best" or "paper"; it has settings for weak and for strong noise,
        as seen beside the range of the data
    overrides : settings to have instead of the preset's own
    options : all settings, instead of a preset
    data_range : largest difference in the clean image, 255 for values from 0 to 255; None means
        255 for uint8 and, for other arrays, what shows in the values. An image that has to be
        stabilised has another range, which is always found in this way
    models : learned on another image with as many channels (`DenoiseResult.models`), to be used
        instead of learning; their pixel units must be those of `image`, stabilised
    with_uncertainty : also compute the posterior standard deviation of every pixel; where noise
        is correlated, so are errors, and it comes out too small by up to 1.4 times
    time_budget : seconds; the schedule of `options` is shortened or extended to fit, as fast as
        this machine is at the moment (`DenoiseResult.options` has what was chosen)
    seed : same seed, device and versions give the same result, on a CPU with any number of threads
        (except for decoder "mlp")
    device : "auto" (a CUDA GPU if there is one), "cpu", "cuda", "cuda:N" or "mps"
    on_progress : called after each epoch and each chunk of patches

    Returns
    -------
    DenoiseResult

    Raises
    ------
    ImageError
        If the array is no image, smaller than a patch, infinite somewhere or missing everywhere,
        or if it is unlike those that `models` were learned on.
    OptionError
        If no image like this one can have such noise, or a model is on another device.
    DeviceError
        If the device is not available, or out of memory.
    TrainingError
        If the ELBO leaves the finite numbers.

    References
    ----------
    Drefs, Guiraud, Panagiotou, Lücke: Direct Evolutionary Optimization of Variational
    Autoencoders with Binary Latents. ECML PKDD 2022, arXiv 2011.13704.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(128, 25, size=(32, 32))
    >>> denoise_image(noisy, 25).image.shape
    (32, 32)
    """
    run = Run(
        preset=preset,
        overrides=overrides,
        options=options,
        data_range=data_range,
        models=models,
        with_uncertainty=with_uncertainty,
        time_budget=time_budget,
        seed=seed,
        device=device,
        on_progress=on_progress,
    )
    return denoise_one(image, noise, run)


@out_of_memory_reported()
def denoise_one(image: ArrayLike, noise: float | Noise, run: Run) -> DenoiseResult:
    """Denoise one image as `denoise_image` does, with its parameters in one object."""
    white = WhiteImage.of(image, noise, run.data_range)
    options = run.options_for(white)
    if run.time_budget is not None and not 0 < run.time_budget < math.inf:
        raise OptionError(f"time_budget must be positive seconds, got {run.time_budget}")
    device = pick_device(run.device)
    with same_bytes(options, device):
        if run.time_budget is not None:
            options = fit_to_time(
                options,
                on_device(white, device),
                white.sigma,
                run.time_budget,
                noisy=white.noise.stabilised_sigma > 0,
                run=run,
            )
        stages = Stages(options, run, device)
        clean, uncertainty, used = stages.denoise(white, run.models)
        # There is no second look within a given time, or with a given model.
        once = run.time_budget is not None or run.models is not None
        second = None if once else white.second_look(clean)
        if second is not None:
            clean, _, _ = stages.denoise(second, None)
    result = stages.result(white.noise, clean, uncertainty)
    return result.with_models(used, learned=run.models is None)
