"""A series of images of one kind: one model for all of them, so that grain does not jump."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from denoise.devices import out_of_memory_reported, pick_device
from denoise.errors import OptionError
from denoise.noise.interface import Noise
from denoise.noise.white import Scale, WhiteImage
from denoise.options import DenoiseOptions
from denoise.patches import Place
from denoise.pipeline.results import DenoiseResult
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.pipeline.stages import Stages, on_device, same_bytes
from denoise.refinement.frames import Frame, refine_frames
from denoise.vae.learned import LearnedVAE, for_another_image


@dataclass(frozen=True)
class SeriesModel:
    """What is learned once for all images of a series.

    Attributes
    ----------
    run : how it was learned, and how images are denoised with it
    options : all settings
    models : one VAE for each patch size
    second : one VAE for each patch size, for a second look at the image where there are few
        photons; else empty
    scale, second_scale : of the one image of which all others are parts, at either look; None
        where images are whole ones (see `scaled_to`)
    """

    noise: Noise
    run: Run
    options: DenoiseOptions
    models: tuple[LearnedVAE, ...]
    second: tuple[LearnedVAE, ...] = ()
    scale: Scale | None = None
    second_scale: Scale | None = None

    @property
    def silent(self) -> SeriesModel:
        """This model without reports of progress."""
        return replace(self, run=self.run.silent)

    def shifted(self, shift: float) -> SeriesModel:
        """This model for an image whose mean has to be changed by this much."""
        assert self.scale is not None
        second = self.second_scale and replace(self.second_scale, shift=shift)
        return replace(self, scale=replace(self.scale, shift=shift), second_scale=second)


# This many parts of a series are looked at twice, and the second look is learned from, too.
SECOND_PARTS = 2
# The change of the mean of an image is measured on a square of this side from each part.
SHIFT_SIDE = 256


@out_of_memory_reported()
def learn_series(
    parts: ArrayLike, noise: float | Noise, run: Run = DEFAULT_RUN, *, of_one_image: bool = False
) -> SeriesModel:
    """Learn one model of images of one kind.

    Parameters
    ----------
    parts : (count, height, width) or (count, height, width, C), parts of some images of a series;
        the patches to learn from are drawn at random from all of them
    noise : see `denoise_image`
    run : how to learn, and later to denoise; its models are used instead of learning, and there is
        no time budget
    of_one_image : what is to be denoised are parts of one image, as these are: no part is brighter
        or has another range than its neighbours (see `tiled.denoise_tiles`)

    Raises
    ------
    ImageError, OptionError, DeviceError, TrainingError
        As of `denoise_image`.
    """
    stack = np.asarray(parts)
    white = WhiteImage.of(np.concatenate(stack), noise, run.data_range)
    options = run.options_for(white)
    stages = Stages(options, replace(run, with_uncertainty=False), pick_device(run.device))

    def learned(some: WhiteImage) -> tuple[LearnedVAE, ...]:
        pixels = on_device(some, stages.device).split(stack.shape[1])
        vaes = stages.learn(pixels, some.sigma)
        return tuple(for_another_image(vae, vae.sigma) for vae in vaes)

    with same_bytes(options, stages.device):
        first = learned(white) if run.models is None else tuple(run.models)
        again = None if run.models is not None else _second_look(stack, white.noise, stages, first)
        second = () if again is None else learned(again)
    model = SeriesModel(white.noise, run, options, first, second)
    return _with_scales(model, stack, white, again) if of_one_image else model


@out_of_memory_reported()
def scaled_to(model: SeriesModel, parts: ArrayLike) -> SeriesModel:
    """The model for one image of the series that is denoised in tiles, as if learned on it.

    Parameters
    ----------
    parts : (count, height, width) or (count, height, width, C) of this image, which decide what
        depends on all of its values (`Scale`), and whether there are few photons in it

    Raises
    ------
    ImageError, OptionError, DeviceError
        As of `denoise_image`.
    """
    stack = np.asarray(parts)
    stages = Stages(
        model.options,
        replace(model.silent.run, with_uncertainty=False),
        pick_device(model.run.device),
    )
    white = WhiteImage.of(np.concatenate(stack), model.noise, model.run.data_range)
    again = None
    if model.second:
        with same_bytes(model.options, stages.device):
            again = _second_look(stack, model.noise, stages, model.models)
    return _with_scales(model, stack, white, again)


def _second_look(
    stack: NDArray[np.generic], noise: Noise, stages: Stages, models: Sequence[LearnedVAE]
) -> WhiteImage | None:
    """Some parts of images as they are looked at again; None where there are many photons."""
    few = WhiteImage.of(np.concatenate(stack[:SECOND_PARTS]), noise, stages.run.data_range)
    if few.noise.second_look(few.original, few.original) is None:
        return None
    return few.second_look(stages.denoise(few, models)[0])


def _with_scales(
    model: SeriesModel, stack: NDArray[np.generic], white: WhiteImage, again: WhiteImage | None
) -> SeriesModel:
    """The model of the one image that the parts in `stack` are of, as seen at either look."""
    model = replace(
        model,
        second=() if again is None else model.second,
        scale=white.scale,
        second_scale=None if again is None else again.scale,
    )
    return model if white.noise.keeps_units else _with_shift(model, stack)


def _with_shift(model: SeriesModel, stack: NDArray[np.generic]) -> SeriesModel:
    """The model with what the mean of the image has to be changed by, as measured on parts."""
    sample = np.concatenate(stack[:, :SHIFT_SIDE, :SHIFT_SIDE])
    [result] = denoise_series([sample], model.silent.shifted(0.0))
    white = WhiteImage.of(sample, model.noise, scale=model.scale)
    return model.shifted(white.mean_change(result.image.reshape(white.original.shape)))


def denoise_series(
    images: Iterable[ArrayLike],
    model: SeriesModel,
    *,
    temporal: int = 0,
    place: Place | None = None,
) -> Iterator[DenoiseResult]:
    """Denoise images with one model, one after the other.

    Parameters
    ----------
    images : (height, width) or (height, width, C) each, taken as they are needed
    temporal : this many images before and after an image help it, which have to be frames of
        one scene, in their order; refinement takes some three times as long, and 2 · temporal + 1
        images are held in memory
    place : of the images, if they are parts of larger ones, to which their random numbers belong

    Yields
    ------
    DenoiseResult
        Of each image, in their order.

    Raises
    ------
    ImageError, OptionError, DeviceError
        As of `denoise_image`.
    """
    run = model.run
    stages = Stages(model.options, run, pick_device(run.device))
    whites = (WhiteImage.of(image, model.noise, run.data_range, model.scale) for image in images)
    denoised = (
        _one_by_one(whites, model, stages, place)
        if temporal == 0 or model.noise.stabilised_sigma == 0
        else _with_others(whites, model, stages, place, temporal)
    )
    while True:
        with out_of_memory_reported(), same_bytes(model.options, stages.device):
            found = next(denoised, None)
        if found is None:
            return
        yield stages.result(model.noise, *found)


# An image and its standard deviation, in the units of the image as it was given.
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
