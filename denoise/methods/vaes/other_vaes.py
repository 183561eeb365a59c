"""Denoise an image with another VAE: the patches, units and merging of the library's own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from numpy.typing import ArrayLike

from denoise.devices import out_of_memory_reported, pick_device
from denoise.errors import OptionError
from denoise.methods.image_patches import ImagePatches
from denoise.methods.refined import finished
from denoise.methods.vaes.gm_wae import MixtureOptions
from denoise.methods.vaes.gumbel_vae import GumbelOptions
from denoise.methods.vaes.interface import PosteriorOptions, VAEOptions, VAETraining
from denoise.methods.vaes.nash_vae import NashOptions
from denoise.methods.vaes.training import fit
from denoise.methods.vaes.vq_vae import VQOptions
from denoise.methods.whole_image import complete_image
from denoise.noise.interface import Noise
from denoise.pipeline.results import Clock, DenoiseResult, Progress
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.presets import COMPARED_PATCH_SIZE, Overrides

# Settings as in the papers: one pass of the encoder rebuilds the patches.
ENCODERS: dict[str, VAEOptions] = {
    "vq-vae-encoder": VQOptions(posterior=None),
    "gumbel-vae-encoder": GumbelOptions(posterior=None),
    "gm-vae-encoder": MixtureOptions(
        # At twice this rate some runs end with one component.
        objective="elbo",
        components=10,
        kept=10,
        latents=24,
        decoder_hidden=(128,),
        training=VAETraining(epochs=12, learning_rate=1e-2),
        posterior=None,
    ),
    "gm-wae-encoder": MixtureOptions(
        components=10,
        kept=10,
        latents=12,
        decoder_hidden=(128,),
        training=VAETraining(epochs=12),
        posterior=None,
    ),
    "nash-vae-encoder": NashOptions(posterior=None),
}
# Default settings by name: a shorter training through the encoder, then a truncated posterior.
DEFAULTS: dict[str, VAEOptions] = {
    "vq-vae": VQOptions(
        training=VAETraining(epochs=6), posterior=PosteriorOptions(states=8, steps=1, epochs=5)
    ),
    "gumbel-vae": GumbelOptions(
        training=VAETraining(epochs=8), posterior=PosteriorOptions(states=8, steps=2, epochs=4)
    ),
    "gm-vae": MixtureOptions(objective="elbo", latents=63),
    "gm-wae": MixtureOptions(),
    "nash-vae": NashOptions(
        # Sparse from the start: fewer pairs for the encoder, but states that search can find.
        latents=128,
        prior_prob=0.05,
        hidden=(256,),
        training=VAETraining(epochs=6, learning_rate=1e-2),
        posterior=PosteriorOptions(states=8, steps=2, epochs=9),
    ),
    **ENCODERS,
}


def other_vae_options(name: str, overrides: Overrides) -> VAEOptions:
    """Default settings of a VAE, with another budget if given.

    Raises
    ------
    OptionError
        If there is no such VAE, or a number is out of its bounds.
    """
    if name not in DEFAULTS:
        raise OptionError(f"there is no VAE {name!r}; choose one of {', '.join(DEFAULTS)}")
    options = DEFAULTS[name]
    return replace(options, training=replace(options.training, **overrides.budget))


@out_of_memory_reported()
def denoise_with_other_vae(
    image: ArrayLike,
    noise: float | Noise,
    options: VAEOptions,
    run: Run = DEFAULT_RUN,
    *,
    patch_size: int = COMPARED_PATCH_SIZE,
) -> DenoiseResult:
    """Train a VAE on the patches of a noisy image and rebuild the image with it.

    As with `free_patch_mean` of our own VAE, the mean of each patch is taken out before the
    model and added back after it: the model sees the other D - 1 directions, where the noise is
    white with variance 1 once the image is stabilised and its pixels are divided by sigma.

    Parameters
    ----------
    image : (height, width) or (height, width, C) finite real numbers
    noise : in the units of `image`; a number is the standard deviation of white Gaussian noise
    options : settings, whose class names the method; `other_vae_options` has defaults by name
    patch_size : side of a patch, in pixels

    Raises
    ------
    ImageError
        If the array is no image, smaller than a patch, or has missing values.
    OptionError
        If `noise` or `patch_size` is out of its bounds.
    DeviceError
        If the device is not available.
    TrainingError
        If the loss leaves the finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from denoise.methods.vaes.interface import VAETraining
    >>> noisy = np.random.default_rng(0).normal(128, 25, size=(32, 32))
    >>> options = VQOptions(slots=4, hidden=(16,), training=VAETraining(epochs=1))
    >>> denoise_with_other_vae(noisy, 25, options).image.shape
    (32, 32)
    """
    clock = Clock()
    white = complete_image(image, noise, run.data_range)
    if patch_size < 2:
        raise OptionError(f"patch_size must be at least 2, got {patch_size}")
    device = pick_device(run.device)
    patches = ImagePatches.of(white.pixels / white.sigma, patch_size, device)
    generator = torch.Generator().manual_seed(run.seed % 2**63)
    training = patches.drawn(options.training.patch_budget, generator)
    model = options.build(training.shape[1], generator).to(device)
    stats = fit(
        model,
        training,
        options.training,
        generator=generator,
        on_epoch=lambda done: run.on_progress(Progress("train", done, options.epochs, patch_size)),
    )
    clock.lap("train")
    total = len(patches.grid)
    pilot = patches.rebuilt(
        partial(model.reconstruct, generator=generator),
        on_patches=lambda done: run.on_progress(Progress("rebuild", done, total, patch_size)),
    )
    clock.lap("rebuild")
    return finished(
        *(white, patches.pixels, pilot, run, clock),
        options=options,
        prior=patches.prior(model, white.sigma),
        diagnostics={"loss": stats.losses[-1], **stats.diagnostics},
    )
