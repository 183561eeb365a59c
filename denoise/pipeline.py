"""The whole method on one screen: noisy array in, denoised array and its provenance out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from denoise.budget import fit_to_time
from denoise.devices import describe_device, pick_device
from denoise.errors import ImageError, OptionError
from denoise.options import DenoiseOptions
from denoise.presets import DEFAULT_PRESET, preset
from denoise.reconstruction import Reconstruction, averaged
from denoise.refinement import pass_count, refine_image
from denoise.results import STAGES, DenoiseResult, Progress
from denoise.training import EpochStats
from denoise.vae import LearnedVAE, apply_vae, for_another_image, learn_vae


def denoise_image(
    image: ArrayLike,
    sigma: float,
    *,
    options: DenoiseOptions | None = None,
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
        missing value, which is filled in
    sigma : standard deviation of the white Gaussian noise, in the units of `image`
    options : settings; by default the preset "balanced" for `sigma` on the 0..255 scale, so
        give `options=preset("balanced", 25)` or the like for images of another range
    models : learned on another image with as many channels (`DenoiseResult.models`), to be used
        instead of learning; their pixel units must be those of `image`
    with_uncertainty : also compute the posterior standard deviation of every pixel
    time_budget : seconds; the schedule of `options` is shortened or extended to fit, as fast as
        this machine is at the moment (`DenoiseResult.options` tells what was chosen)
    seed : same seed, device and versions give the same result
    device : "auto" (a GPU if there is one), "cpu", "cuda", "cuda:N" or "mps"
    on_progress : called after each epoch and each chunk of patches

    Returns
    -------
    DenoiseResult

    Raises
    ------
    ImageError
        If the array is no image, smaller than a patch, infinite somewhere or missing everywhere.
    OptionError
        If `sigma` is not a positive finite number.
    DeviceError
        If the device is not available.
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
    >>> denoise_image(noisy, sigma=25).image.shape
    (32, 32)
    """
    if not 0 < sigma < math.inf:
        raise OptionError(f"sigma must be a positive finite number, got {sigma}")
    pixels = _as_pixels(image)
    options = options or preset(DEFAULT_PRESET, sigma)
    compute_device = pick_device(device)
    noisy = torch.as_tensor(pixels, dtype=_float_type(compute_device), device=compute_device)

    if time_budget is not None:
        if not 0 < time_budget < math.inf:
            raise OptionError(f"time_budget must be positive seconds, got {time_budget}")
        options = fit_to_time(options, noisy, sigma, time_budget, learning=models is None)
    times = [time.perf_counter()]
    if models is None:
        vaes = _learn(noisy, sigma, options, seed, on_progress)
    else:
        vaes = tuple(for_another_image(vae, sigma) for vae in models)
        _check_channels(vaes, noisy)
    times.append(time.perf_counter())
    pilot = _rebuild(noisy, vaes, options, seed, with_uncertainty, on_progress)
    vaes = tuple(for_another_image(vae, vae.sigma) for vae in vaes)  # frees memory
    times.append(time.perf_counter())
    denoised = pilot.image
    if options.refinement is not None:
        noise = vaes[0].sigma
        passes = pass_count(options.refinement, noisy.shape[2])
        denoised = refine_image(
            (noisy / noise).to(torch.float32),
            (pilot.image / noise).to(torch.float32),
            1.0,
            options.refinement,
            on_pass=lambda done: on_progress(Progress("refine", done, passes)),
        ).to(noisy.dtype)
        denoised = denoised * noise
    times.append(time.perf_counter())

    shape = np.shape(image)
    history = vaes[0].history if models is None else ()
    return DenoiseResult(
        image=_to_array(denoised, shape),
        sigma=sigma,
        learned_sigma=vaes[0].residual_sigma if history else math.nan,
        elbo_history=tuple(stats.elbo for stats in history),
        uncertainty=None if pilot.variance is None else _to_array(pilot.variance.sqrt(), shape),
        models=vaes,
        seconds={
            stage: end - start
            for stage, start, end in zip(STAGES, times[:-1], times[1:], strict=True)
        },
        device=describe_device(compute_device),
        seed=seed,
        options=options,
    )


def _learn(
    noisy: Tensor,
    sigma: float,
    options: DenoiseOptions,
    seed: int,
    on_progress: Callable[[Progress], None],
) -> tuple[LearnedVAE, ...]:
    """One VAE for each patch size."""
    epochs, sizes = options.training.epochs, options.model.patch_sizes
    vaes: list[LearnedVAE] = []

    def tell(stats: EpochStats) -> None:
        done = len(vaes) * epochs + stats.epoch
        on_progress(Progress("train", done, len(sizes) * epochs, stats.elbo))

    for size in sizes:
        vaes.append(learn_vae(noisy, sigma, size, options=options, seed=seed, on_epoch=tell))
    return tuple(vaes)


def _rebuild(
    noisy: Tensor,
    vaes: Sequence[LearnedVAE],
    options: DenoiseOptions,
    seed: int,
    with_variance: bool,
    on_progress: Callable[[Progress], None],
) -> Reconstruction:
    """What the models make of the image, averaged."""
    height, width, _ = noisy.shape
    counts = [(height - v.patch_size + 1) * (width - v.patch_size + 1) for v in vaes]
    rebuilt: list[Reconstruction] = []

    def tell(done: int) -> None:
        on_progress(Progress("rebuild", sum(counts[: len(rebuilt)]) + done, sum(counts)))

    for vae in vaes:
        rebuilt.append(
            apply_vae(
                vae,
                noisy,
                options=options,
                seed=seed,
                with_variance=with_variance,
                on_patches=tell,
            )
        )
    return averaged(rebuilt)


def _float_type(device: torch.device) -> torch.dtype:
    """float64 until pixels have been divided by sigma; MPS has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def _check_channels(vaes: Sequence[LearnedVAE], noisy: Tensor) -> None:
    for vae in vaes:
        if vae.channels != noisy.shape[2]:
            raise ImageError(
                f"the model was learned on {vae.channels} channels, but the image has"
                f" {noisy.shape[2]}"
            )


def _to_array(image: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return image.cpu().numpy().astype(np.float32).reshape(shape)


def _as_pixels(image: ArrayLike) -> NDArray[np.float64]:
    """(height, width, C) float64 of an array that can be denoised."""
    pixels = np.array(image, dtype=np.float64, order="C")  # a copy: the caller keeps the original
    if pixels.ndim not in (2, 3):
        raise ImageError(
            f"expected (height, width) or (height, width, C), got shape {pixels.shape}"
        )
    if np.isinf(pixels).any():
        raise ImageError("the image holds infinite values; mark missing ones as NaN")
    if np.isnan(pixels).all():
        raise ImageError("the image holds no value at all")
    return pixels.reshape(*pixels.shape[:2], -1)
