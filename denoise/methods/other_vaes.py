"""Denoise an image with a peer: the patches, units and merging of the library's own VAE."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from denoise.devices import describe_device, out_of_memory_reported, pick_device
from denoise.errors import ImageError, OptionError
from denoise.methods.gm_wae import MixtureVAE
from denoise.methods.gumbel_vae import GumbelVAE
from denoise.methods.interface import PeerModel, PeerStats
from denoise.methods.nash_vae import NashVAE
from denoise.methods.options import (
    GumbelOptions,
    MixtureOptions,
    NashOptions,
    PeerOptions,
    VQOptions,
)
from denoise.methods.training import fit
from denoise.methods.vq_vae import VQVAE
from denoise.noise.interface import Noise
from denoise.noise.white import WhiteImage
from denoise.patches import PatchGrid, PatchMerger
from denoise.results import Progress

# Patches reconstructed at a time.
CHUNK_SIZE = 4096


@dataclass(frozen=True)
class PeerResult:
    """What `denoise_with_peer` returns.

    Attributes
    ----------
    image : float32, shape and units of the input
    stats : of the training
    seconds : of the whole run
    device : name of what it was computed on
    options : settings that were used
    """

    image: NDArray[np.float32]
    stats: PeerStats
    seconds: float
    device: str
    options: PeerOptions


def make_peer(values: int, options: PeerOptions, generator: torch.Generator) -> PeerModel:
    """An untrained model of patches with `values` values."""
    match options:
        case VQOptions():
            return VQVAE(values, options, generator)
        case GumbelOptions():
            return GumbelVAE(values, options, generator)
        case MixtureOptions():
            return MixtureVAE(values, options, generator)
        case NashOptions():
            return NashVAE(values, options, generator)
        case _:
            assert_never(options)


@out_of_memory_reported()
def denoise_with_peer(
    image: ArrayLike,
    noise: float | Noise,
    options: PeerOptions,
    *,
    patch_size: int = 8,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> PeerResult:
    """Train a peer on the patches of a noisy image and rebuild the image with it.

    As with `free_patch_mean` of our own VAE, the mean of each patch is taken out before the
    model and added back after it: the model sees the other D - 1 directions, where the noise is
    white with variance 1 once the image is stabilised and its pixels are divided by sigma.

    Parameters
    ----------
    image : (height, width) or (height, width, C) finite real numbers
    noise : in the units of `image`; a number is the standard deviation of white Gaussian noise
    options : settings, which also tell the method; `peer_options` has defaults by name
    patch_size : side of a patch, in pixels
    seed : names the random numbers
    on_progress : called after each epoch and each chunk of patches

    Raises
    ------
    ImageError
        If the array is no image, smaller than a patch, or not finite: peers fill nothing in.
    OptionError
        If `noise` or `patch_size` is out of its bounds.
    DeviceError
        If the device is not available.
    TrainingError
        If the loss leaves the finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from denoise.methods.options import PeerTraining, VQOptions
    >>> noisy = np.random.default_rng(0).normal(128, 25, size=(32, 32))
    >>> options = VQOptions(slots=4, hidden=(16,), training=PeerTraining(epochs=1))
    >>> denoise_with_peer(noisy, 25, options, device="cpu").image.shape
    (32, 32)
    """
    started = time.perf_counter()
    white = WhiteImage.of(image, noise)
    if np.isnan(white.pixels).any():
        raise ImageError("the image has missing values, which only our own model fills in")
    if patch_size < 2:
        raise OptionError(f"patch_size must be at least 2, got {patch_size}")
    compute_device = pick_device(device)
    scaled = torch.as_tensor(white.pixels / white.sigma, dtype=torch.float32, device=compute_device)
    height, width, channels = scaled.shape
    grid = PatchGrid((height, width, channels), patch_size, compute_device)

    generator = torch.Generator().manual_seed(seed % 2**63)
    chosen = torch.randperm(len(grid), generator=generator)[: options.training.patch_budget]
    patches = grid.extract(scaled, chosen.to(compute_device))
    basis = mean_free_basis(patches.shape[1]).to(compute_device)
    model = make_peer(basis.shape[1], options, generator).to(compute_device)
    epochs = options.training.epochs
    stats = fit(
        model,
        patches @ basis,
        options.training,
        generator=generator,
        on_epoch=lambda done: on_progress(Progress("train", done, epochs, patch_size)),
    )
    merger = PatchMerger(grid, like=scaled)
    for index in torch.arange(len(grid), device=compute_device).split(CHUNK_SIZE):
        rebuilt = _reconstruct(model, grid.extract(scaled, index), basis, generator)
        merger.add(rebuilt, index, torch.ones_like(rebuilt[:, 0]))
        on_progress(Progress("rebuild", int(index[-1]) + 1, len(grid), patch_size))
    denoised, _ = white.restored((merger.image() * white.sigma).cpu().numpy())
    return PeerResult(
        image=denoised,
        stats=stats,
        seconds=time.perf_counter() - started,
        device=describe_device(compute_device),
        options=options,
    )


def mean_free_basis(values: int) -> Tensor:
    """Orthonormal basis of the patches whose mean is zero: (D, D - 1)."""
    start = torch.eye(values, dtype=torch.float64)
    start[:, 0] = 1
    basis: Tensor = torch.linalg.qr(start).Q[:, 1:]
    return basis.to(torch.float32)


@torch.no_grad()
def _reconstruct(
    model: PeerModel, patches: Tensor, basis: Tensor, generator: torch.Generator
) -> Tensor:
    """Patches (N, D) as the model explains them, means kept."""
    rebuilt = model.reconstruct(patches @ basis, generator=generator) @ basis.T
    return rebuilt + patches.mean(1, keepdim=True)
