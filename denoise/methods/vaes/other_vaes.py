"""Denoise an image with another VAE: the patches, units and merging of the library's own."""

from __future__ import annotations

from dataclasses import replace

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from denoise.devices import out_of_memory_reported, pick_device
from denoise.errors import OptionError
from denoise.methods.refined import finished
from denoise.methods.vaes.gm_wae import MixtureOptions
from denoise.methods.vaes.gumbel_vae import GumbelOptions
from denoise.methods.vaes.interface import PatchVAE, PosteriorOptions, VAEOptions, VAETraining
from denoise.methods.vaes.nash_vae import NashOptions
from denoise.methods.vaes.patch_prior import ModelPrior
from denoise.methods.vaes.training import fit
from denoise.methods.vaes.vq_vae import VQOptions
from denoise.methods.whole_image import complete_image
from denoise.noise.interface import Noise
from denoise.patches import PatchGrid, PatchMerger
from denoise.pipeline.results import Clock, DenoiseResult, Progress
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.presets import COMPARED_PATCH_SIZE, Overrides

# Patches reconstructed at a time.
CHUNK_SIZE = 4096
# As their papers train and use them: rebuilt with one pass of the encoder.
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
    scaled = torch.as_tensor(white.pixels / white.sigma, dtype=torch.float32, device=device)
    height, width, channels = scaled.shape
    grid = PatchGrid((height, width, channels), patch_size, device)

    generator = torch.Generator().manual_seed(run.seed % 2**63)
    chosen = torch.randperm(len(grid), generator=generator)[: options.training.patch_budget]
    patches = grid.extract(scaled, chosen.to(device))
    basis = mean_free_basis(patches.shape[1]).to(device)
    model = options.build(basis.shape[1], generator).to(device)
    stats = fit(
        model,
        patches @ basis,
        options.training,
        generator=generator,
        on_epoch=lambda done: run.on_progress(Progress("train", done, options.epochs, patch_size)),
    )
    clock.lap("train")
    merger = PatchMerger(grid, like=scaled)
    for index in torch.arange(len(grid), device=device).split(CHUNK_SIZE):
        rebuilt = _reconstruct(model, grid.extract(scaled, index), basis, generator)
        merger.add(rebuilt, index, torch.ones_like(rebuilt[:, 0]))
        run.on_progress(Progress("rebuild", int(index[-1]) + 1, len(grid), patch_size))
    pilot = merger.image()
    clock.lap("rebuild")
    return finished(
        *(white, scaled, pilot, run, clock),
        options=options,
        prior=ModelPrior(model, basis, white.sigma, patch_size, channels),
        diagnostics={"loss": stats.losses[-1], **stats.diagnostics},
    )


def mean_free_basis(values: int) -> Tensor:
    """Orthonormal basis of the patches whose mean is zero: (D, D - 1)."""
    start = torch.eye(values, dtype=torch.float64)
    start[:, 0] = 1
    basis: Tensor = torch.linalg.qr(start).Q[:, 1:]
    return basis.to(torch.float32)


@torch.no_grad()
def _reconstruct(
    model: PatchVAE, patches: Tensor, basis: Tensor, generator: torch.Generator
) -> Tensor:
    """Patches (N, D) as the model explains them, means kept."""
    rebuilt = model.reconstruct(patches @ basis, generator=generator) @ basis.T
    return rebuilt + patches.mean(1, keepdim=True)
