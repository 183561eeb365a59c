"""The whole method on one screen: noisy array in, denoised array and its provenance out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from denoise.devices import describe_device, pick_device
from denoise.errors import ImageError, OptionError
from denoise.model import BinaryVAE, MLPDecoder
from denoise.options import DenoiseOptions, ModelOptions
from denoise.patches import Patches, PatchGrid
from denoise.presets import DEFAULT_PRESET, preset
from denoise.randomness import PatchRandom
from denoise.reconstruction import rebuild_image
from denoise.states import LatentStates, random_states
from denoise.training import train


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` epochs ("train") or patches ("rebuild")."""

    stage: str
    done: int
    total: int
    elbo: float | None = None


@dataclass(frozen=True)
class DenoiseResult:
    """A denoised image and how it came about.

    Attributes
    ----------
    image : (height, width) or (height, width, C) float32 in the units of the input, not clipped
    sigma : standard deviation of the noise as given, same units
    learned_sigma : root of the mean posterior-weighted squared error at the end of training,
        the model's own estimate of sigma, same units
    elbo_history : mean ELBO per training patch of each epoch, in nats
    seconds : time spent in each stage, "train" and "rebuild"
    device : where it ran, such as "cpu" or "cuda:0 (NVIDIA ...)"
    seed : that of the run
    options : all settings of the run
    """

    image: NDArray[np.float32]
    sigma: float
    learned_sigma: float
    elbo_history: tuple[float, ...]
    seconds: dict[str, float]
    device: str
    seed: int
    options: DenoiseOptions


def denoise_image(
    image: ArrayLike,
    sigma: float,
    *,
    options: DenoiseOptions | None = None,
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
    scale = sigma if options.model.pixel_scale is None else options.model.pixel_scale
    noisy = torch.as_tensor((pixels / scale).astype(np.float32), device=compute_device)
    height, width, channels = noisy.shape
    grid = PatchGrid((height, width, channels), options.model.patch_size, compute_device)
    generator = torch.Generator().manual_seed(seed % 2**63)

    started = time.perf_counter()
    patches = _training_patches(noisy, grid, options.training.patch_budget, generator)
    model = _initial_model(options.model, patches, sigma / scale, generator)
    states = _initial_states(options, patches, seed)
    history = []
    for stats in train(
        model,
        patches,
        states,
        search=options.search,
        training=options.training,
        learn_noise_variance=options.model.learn_noise_variance,
        seed=seed,
    ):
        history.append(stats)
        on_progress(Progress("train", stats.epoch, options.training.epochs, stats.elbo))
    trained = time.perf_counter()
    denoised = rebuild_image(
        model,
        noisy,
        grid,
        states,
        patches.index,
        search=options.search,
        inference=options.inference,
        seed=seed,
        on_patches=lambda done: on_progress(Progress("rebuild", done, len(grid))),
    )
    return DenoiseResult(
        image=(denoised.cpu().numpy() * scale).astype(np.float32).reshape(np.shape(image)),
        sigma=sigma,
        learned_sigma=scale * history[-1].residual_variance ** 0.5,
        elbo_history=tuple(stats.elbo for stats in history),
        seconds={"train": trained - started, "rebuild": time.perf_counter() - trained},
        device=describe_device(compute_device),
        seed=seed,
        options=options,
    )


def _as_pixels(image: ArrayLike) -> NDArray[np.float64]:
    """(height, width, C) float64 of an array that can be denoised."""
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim not in (2, 3):
        raise ImageError(
            f"expected (height, width) or (height, width, C), got shape {pixels.shape}"
        )
    if np.isinf(pixels).any():
        raise ImageError("the image holds infinite values; mark missing ones as NaN")
    if np.isnan(pixels).all():
        raise ImageError("the image holds no value at all")
    return pixels.reshape(*pixels.shape[:2], -1)


def _training_patches(
    image: Tensor, grid: PatchGrid, budget: int, generator: torch.Generator
) -> Patches:
    index = torch.randperm(len(grid), generator=generator)[:budget].to(image.device)
    return Patches.from_raw(grid.extract(image, index), index)


def _initial_model(
    options: ModelOptions, patches: Patches, sigma: float, generator: torch.Generator
) -> BinaryVAE:
    values = patches.values
    sizes = (options.latents, *options.hidden, values.shape[1])
    decoder = MLPDecoder(sizes, leak=options.leak, generator=generator).to(values.device)
    prior = options.expected_active / options.latents
    return BinaryVAE(
        decoder,
        prior_probs=values.new_full((options.latents,), prior),
        noise_variance=values.new_tensor(sigma**2),
        free_patch_mean=options.free_patch_mean,
    )


def _initial_states(options: DenoiseOptions, patches: Patches, seed: int) -> LatentStates:
    count = options.search.states
    states = random_states(count, options.model.latents, PatchRandom((seed,), patches.index))
    return LatentStates(states, patches.values.new_zeros(len(patches), count))
