"""A learned VAE: made from the patches of an image, applied to this image or another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from denoise.errors import ImageError, OptionError
from denoise.options import DenoiseOptions, ModelOptions
from denoise.patches import Patches, PatchGrid, Place
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.closed_form import ClosedFormLearner
from denoise.vae.gradient import GradientLearner
from denoise.vae.mlp import MLP
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.model import BinaryVAE
from denoise.vae.prior import Samples
from denoise.vae.randomness import PatchRandom
from denoise.vae.reconstruction import Reconstruction, StartStates, rebuild_image
from denoise.vae.states import LatentStates, random_states
from denoise.vae.stored_states import PackedStates, StoredStates, most_used_states, no_latents_on
from denoise.vae.training import EpochStats, Learner, train

# A model for noise that is this many times weaker or stronger has other units.
UNLIKE = 8.0
# Amplitude vectors start as patches of this length, in units of sigma.
START_LENGTH = 4.0


@dataclass(frozen=True)
class LearnedVAE:
    """A model and what is needed to use it on an image.

    Attributes
    ----------
    model : its pixels are those of the image divided by `scale`
    patch_size : side of a patch, in pixels
    channels : of the image
    scale : pixel units of the model
    start : where the search for states begins
    history : statistics of each epoch of its training
    """

    model: BinaryVAE
    patch_size: int
    channels: int
    scale: float
    start: StartStates
    history: tuple[EpochStats, ...]

    @property
    def residual_sigma(self) -> float:
        """The model's own estimate of sigma, in the units of the image."""
        return self.scale * math.sqrt(self.history[-1].residual_variance)

    @property
    def sigma(self) -> float:
        """The standard deviation of the noise that the model assumes."""
        return self.scale * math.sqrt(float(self.model.noise_variance))

    def sample(self, count: int, *, seed: int) -> Samples:
        """As `PatchPrior.sample`."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        return Samples(self.scale * self.model.sample(count, generator), None)


def learn_vae(
    images: Sequence[Tensor],
    sigma: float,
    patch_size: int,
    *,
    options: DenoiseOptions,
    seed: int,
    on_epoch: Callable[[EpochStats], None],
) -> LearnedVAE:
    """Train a VAE on the patches of an image, or of several alike.

    Parameters
    ----------
    images : (height, width, C) float64, NaN where missing; their device is the run's
    sigma : standard deviation of the noise

    Raises
    ------
    TrainingError
        If the ELBO leaves the finite numbers.
    """
    scale = sigma if options.model.pixel_scale is None else options.model.pixel_scale
    generator = torch.Generator().manual_seed(seed % 2**63)
    pixels = [_to_model_units(image, scale) for image in images]
    patches, count = _drawn_patches(pixels, patch_size, options.training.patch_budget, generator)
    model, learner, states = untrained(options, patches, sigma / scale, generator, seed)
    history = []
    for stats in train(
        model,
        learner,
        patches,
        states,
        search=options.search,
        training=options.training,
        learn_noise_variance=options.model.learn_noise_variance,
        seed=seed,
    ):
        history.append(stats)
        on_epoch(stats)
    pool = most_used_states(states, options.inference.pool_size)
    # The states are reused if they are those of all patches of the image; else all start alike.
    own = len(images) == 1 and len(patches) == count
    first = StartStates(pool, states, patches.index) if own else StartStates(pool)
    return LearnedVAE(model, patch_size, images[0].shape[2], scale, first, tuple(history))


def _drawn_patches(
    images: Sequence[Tensor], patch_size: int, most: int, generator: torch.Generator
) -> tuple[Patches, int]:
    """At most this many patches of all images, drawn at random, and how many there are."""
    grids = [PatchGrid.of(image, patch_size) for image in images]
    count = sum(len(grid) for grid in grids)
    index = torch.randperm(count, generator=generator)[:most].to(images[0].device)
    values = images[0].new_empty(len(index), patch_size**2 * images[0].shape[2])
    start = 0
    for image, grid in zip(images, grids, strict=True):
        inside = (start <= index) & (index < start + len(grid))
        values[inside] = grid.extract(image, index[inside] - start)
        start += len(grid)
    return Patches.from_raw(values, index), count


def apply_vae(
    vae: LearnedVAE,
    image: Tensor,
    *,
    options: DenoiseOptions,
    seed: int,
    with_variance: bool,
    on_patches: Callable[[int], None],
    place: Place | None = None,
) -> Reconstruction:
    """Rebuild an image (height, width, C) from its posterior under the model, same units."""
    pixels = _to_model_units(image, vae.scale)
    rebuilt = rebuild_image(
        vae.model,
        pixels,
        PatchGrid.of(pixels, vae.patch_size, place),
        vae.start,
        search=options.search,
        inference=options.inference,
        seed=seed,
        with_variance=with_variance,
        on_patches=on_patches,
    )
    variance = rebuilt.variance
    return Reconstruction(
        rebuilt.image * vae.scale, None if variance is None else variance * vae.scale**2
    )


def for_another_image(vae: LearnedVAE, sigma: float) -> LearnedVAE:
    """The same model for noise of level `sigma`, without the states of its own image."""
    model = copy(vae.model)
    model.noise_variance = torch.full_like(model.noise_variance, (sigma / vae.scale) ** 2)
    return replace(vae, model=model, start=StartStates(vae.start.pool))


def check_models(models: Sequence[LearnedVAE], noisy: Tensor, sigma: float) -> None:
    """Raise if models do not fit an image (height, width, C) with noise of level `sigma`.

    Raises
    ------
    OptionError
        If there is no model, or one is on another device.
    ImageError
        If a model was learned on another kind of image.
    """
    if not models:
        raise OptionError("models is empty; give None to learn from the image")
    for vae in models:
        if vae.channels != noisy.shape[2]:
            raise ImageError(
                f"the model was learned on {vae.channels} channels, but the image has"
                f" {noisy.shape[2]}"
            )
        if not 1 / UNLIKE < vae.sigma / sigma < UNLIKE:
            raise ImageError(
                f"the model was learned for noise of sigma {vae.sigma:g}, this image has"
                f" {sigma:g}; learn one on an image like it"
            )
        if vae.model.prior_probs.device != noisy.device:
            raise OptionError(
                f"the model is on {vae.model.prior_probs.device}, but the run on {noisy.device};"
                " save it and load it there"
            )


def _to_model_units(image: Tensor, scale: float) -> Tensor:
    return (image / scale).to(torch.float32)


# A model that has learned nothing yet, its learner, and the states that training starts from.
Start = tuple[BinaryVAE, Learner, StoredStates]


def untrained(
    options: DenoiseOptions, patches: Patches, sigma: float, generator: torch.Generator, seed: int
) -> Start:
    """What training on patches begins with, for noise of level `sigma` in their units."""
    start = _start_mlp if options.model.decoder == "mlp" else _start_amplitudes
    return start(options, patches, sigma, generator, seed)


def _start_amplitudes(
    options: DenoiseOptions, patches: Patches, sigma: float, generator: torch.Generator, seed: int
) -> Start:
    shape = options.model
    model = AmplitudeVAE(
        _initial_vectors(shape, patches, sigma, generator),
        *_prior_and_noise(shape, patches, sigma),
        free_patch_mean=shape.free_patch_mean,
        max_active=shape.max_active,
    )
    learner = ClosedFormLearner(model, memory=options.training.memory * len(patches))
    states = no_latents_on(options.search.states, shape.latents, shape.max_active, patches.values)
    return model, learner, states


def _start_mlp(
    options: DenoiseOptions, patches: Patches, sigma: float, generator: torch.Generator, seed: int
) -> Start:
    shape, count = options.model, options.search.states
    assert shape.hidden is not None
    sizes = (shape.latents, *shape.hidden, patches.values.shape[1])
    mlp = MLP(sizes, leak=shape.leak, generator=generator).to(patches.values.device)
    model = MLPVAE(
        mlp, *_prior_and_noise(shape, patches, sigma), free_patch_mean=shape.free_patch_mean
    )
    learner = GradientLearner(model, options.training, patch_count=len(patches))
    bits = random_states(count, shape.latents, PatchRandom((seed,), patches.index))
    states = PackedStates.of(LatentStates(bits, patches.values.new_zeros(len(patches), count)))
    return model, learner, states


def _prior_and_noise(
    options: ModelOptions, patches: Patches, sigma: float
) -> tuple[Tensor, Tensor]:
    prior = options.expected_active / options.latents
    values = patches.values
    return values.new_full((options.latents,), prior), values.new_tensor(sigma**2)


def _initial_vectors(
    options: ModelOptions, patches: Patches, sigma: float, generator: torch.Generator
) -> Tensor:
    """Patches of the image, drawn at random and brought to one length: (H, D)."""
    chosen = torch.randperm(len(patches), generator=generator)[: options.latents]
    chosen = chosen.repeat(-(-options.latents // len(chosen)))[: options.latents]
    some = patches[chosen.to(patches.values.device)]
    vectors = (some.centred if options.free_patch_mean else some).values
    lengths = vectors.norm(dim=1, keepdim=True).clamp(min=1e-6)
    started: Tensor = vectors * (START_LENGTH * sigma / lengths)
    return started
