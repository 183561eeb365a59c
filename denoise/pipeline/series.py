"""A series of images of one kind: one model for all of them, so that grain does not jump."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from denoise.devices import describe_device, out_of_memory_reported, pick_device
from denoise.errors import OptionError
from denoise.noise.interface import Noise
from denoise.noise.white import Scale, WhiteImage
from denoise.options import DenoiseOptions
from denoise.patches import Place
from denoise.pipeline.results import DenoiseResult, Progress
from denoise.pipeline.stages import Stages, on_device, same_bytes
from denoise.presets import DEFAULT_PRESET, NO_OVERRIDES, Overrides, preset_for
from denoise.refinement.frames import Frame, refine_frames
from denoise.vae.learned import LearnedVAE, for_another_image


@dataclass(frozen=True)
class SeriesModel:
    """What is learned once for all images of a series.

    Attributes
    ----------
    options : all settings
    models : one VAE for each patch size
    second : likewise for a second look at the image, where there are few photons; else empty
    scale, second_scale : of the one image of which all others are parts, at either look; None
        where images are whole ones
    """

    noise: Noise
    options: DenoiseOptions
    models: tuple[LearnedVAE, ...]
    second: tuple[LearnedVAE, ...] = ()
    scale: Scale | None = None
    second_scale: Scale | None = None


# So many parts of a series are looked at twice, to learn from what is seen then.
SECOND_PARTS = 2
# Side of what is taken of each part to measure how the mean of an image changes.
SHIFT_SIDE = 256


@out_of_memory_reported()
def learn_series(
    parts: ArrayLike,
    noise: float | Noise,
    *,
    preset: str = DEFAULT_PRESET,
    overrides: Overrides = NO_OVERRIDES,
    options: DenoiseOptions | None = None,
    data_range: float | None = None,
    models: Sequence[LearnedVAE] = (),
    of_one_image: bool = False,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> SeriesModel:
    """Learn one model of images of one kind.

    Parameters
    ----------
    parts : (count, height, width) or (count, height, width, C), parts of some images of a series;
        the patches to learn from are drawn at random from all of them
    models : learned before (`DenoiseResult.models`), to be used instead of learning
    of_one_image : what is to be denoised are parts of one image, as these are: no part is brighter
        or has another range than its neighbours (see `tiles.denoise_tiles`)
    noise, preset, overrides, options, data_range, seed, device, on_progress : see `denoise_image`

    Raises
    ------
    ImageError, OptionError, DeviceError, TrainingError
        As of `denoise_image`.
    """
    stack = np.asarray(parts)
    white = WhiteImage.of(np.concatenate(stack), noise, data_range)
    options = options or preset_for(preset, white.sigma, white.data_range, overrides)
    compute_device = pick_device(device)
    stages = Stages(options, False, seed, compute_device, on_progress)

    def learned(some: WhiteImage) -> tuple[LearnedVAE, ...]:
        pixels = on_device(some, compute_device).split(stack.shape[1])
        vaes = stages.learn(pixels, some.sigma)
        return tuple(for_another_image(vae, vae.sigma) for vae in vaes)

    with same_bytes(options, compute_device):
        first = tuple(models) or learned(white)
        few = WhiteImage.of(np.concatenate(stack[:SECOND_PARTS]), noise, data_range)
        again = None
        if not models and few.noise.second_look(few.original, few.original) is not None:
            again = few.second_look(stages.denoise(few, first)[0])
        second = () if again is None else learned(again)
    model = SeriesModel(white.noise, options, first, second)
    if not of_one_image:
        return model
    model = replace(model, scale=white.scale, second_scale=None if again is None else again.scale)
    return model if white.noise.keeps_units else _with_shift(model, stack, seed, device)


def _with_shift(
    model: SeriesModel, stack: NDArray[np.generic], seed: int, device: str
) -> SeriesModel:
    """The model with what the mean of the image has to be changed by, as measured on parts."""
    assert model.scale is not None
    sample = np.concatenate(stack[:, :SHIFT_SIDE, :SHIFT_SIDE])
    unshifted = replace(
        model,
        scale=replace(model.scale, shift=0.0),
        second_scale=model.second_scale and replace(model.second_scale, shift=0.0),
    )
    [result] = denoise_series([sample], unshifted, seed=seed, device=device)
    white = WhiteImage.of(sample, model.noise, scale=model.scale)
    shift = white.mean_change(result.image.reshape(white.original.shape))
    return replace(
        model,
        scale=replace(model.scale, shift=shift),
        second_scale=model.second_scale and replace(model.second_scale, shift=shift),
    )


def denoise_series(
    images: Iterable[ArrayLike],
    model: SeriesModel,
    *,
    temporal: int = 0,
    place: Place | None = None,
    data_range: float | None = None,
    with_uncertainty: bool = False,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Iterator[DenoiseResult]:
    """Denoise images with one model, one after the other.

    Parameters
    ----------
    images : (height, width) or (height, width, C) each, taken as they are needed
    temporal : so many images before and after an image help it, which have to be frames of one
        scene, in their order; takes some three times the time of refinement, and holds
        2 · temporal + 1 images
    place : of the images, if they are parts of larger ones, to which their random numbers belong
    data_range, with_uncertainty, seed, device, on_progress : see `denoise_image`

    Yields
    ------
    DenoiseResult
        Of each image, in their order.

    Raises
    ------
    ImageError, OptionError, DeviceError
        As of `denoise_image`.
    """
    compute_device = pick_device(device)
    stages = Stages(model.options, with_uncertainty, seed, compute_device, on_progress)
    whites = (WhiteImage.of(image, model.noise, data_range, model.scale) for image in images)
    denoised = (
        _one_by_one(whites, model, stages, place)
        if temporal == 0 or model.noise.stabilised_sigma == 0
        else _with_others(whites, model, stages, place, temporal)
    )
    while True:
        with out_of_memory_reported(), same_bytes(model.options, compute_device):
            found = next(denoised, None)
        if found is None:
            return
        clean, uncertainty = found
        yield DenoiseResult(
            image=clean,
            noise=model.noise,
            uncertainty=uncertainty,
            seconds=stages.clock.take(),
            device=describe_device(compute_device),
            seed=seed,
            options=model.options,
        )


# An image and its standard deviation, as it was given.
Denoised = tuple[NDArray[np.floating], NDArray[np.floating] | None]


def _one_by_one(
    whites: Iterable[WhiteImage], model: SeriesModel, stages: Stages, place: Place | None
) -> Iterator[Denoised]:
    for white in whites:
        clean, uncertainty, _ = stages.denoise(white, model.models, place)
        second = white.second_look(clean, model.second_scale) if model.second else None
        if second is not None:
            clean, _, _ = stages.denoise(second, model.second, place)
        yield clean, uncertainty


def _with_others(
    whites: Iterable[WhiteImage],
    model: SeriesModel,
    stages: Stages,
    place: Place | None,
    radius: int,
) -> Iterator[Denoised]:
    """Frames that help each other; there is no second look, since there are more photons."""
    refinement = model.options.refinement
    if refinement is None:
        raise OptionError("frames help each other in the refinement, which these settings lack")
    waiting: deque[tuple[WhiteImage, Tensor, Tensor | None]] = deque()

    def frames() -> Iterator[Frame]:
        for white in whites:
            noisy, pilot, _ = stages.rebuild(white, model.models, place)
            noisy, image = stages.filled(white, noisy, pilot.image, lambda done: None)
            waiting.append((white, noisy, pilot.variance))
            yield Frame(noisy / white.sigma, image / white.sigma)

    for refined in refine_frames(frames(), radius, refinement):
        white, noisy, variance = waiting.popleft()
        yield stages.restored(white, refined.to(noisy.dtype) * white.sigma, variance)
