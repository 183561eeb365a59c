"""What images of a channel, or tiles, have in common: their noise, and what denoises them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from denoise.cli.file_noise import Observed, observe, units_of
from denoise.cli.jobs import ActiveJob
from denoise.cli.mask import marked_pixels, with_missing
from denoise.cli.settings import Settings
from denoise.errors import ImageError
from denoise.files.image_file import ImageFile
from denoise.files.samples import with_equal_channels
from denoise.files.series import Series
from denoise.noise.interface import Noise
from denoise.options import DenoiseOptions
from denoise.patches import Place
from denoise.pipeline.results import DenoiseResult
from denoise.pipeline.run import Run
from denoise.vae.learned import LearnedVAE

# Noise is measured, and the model learned, on parts of at most this many images of a channel,
# which together have at most this many pixels.
MOST_PARTS, MOST_PIXELS = 16, 2**22
# What to try where no noise is found.
ALL_TOGETHER = "noise was looked for in all images together; --model-per-frame does in each"


@dataclass(frozen=True)
class ChannelModel:
    """How the images of one channel, or the tiles of an image, are denoised.

    Attributes
    ----------
    settings : those of an image, with the noise of the channel as if it were given
    noise : given or found; None if there is none, or if each image has its own
    remarks : what the user should know of it
    denoise : from what was observed of images, in their order, and the place that they have in
        larger ones if they are tiles, to the result of each; None where there is nothing to remove
        or fill in
    models, second : what was learned, for a first look at an image and for a second one
    options : all settings of our own method
    """

    settings: Settings
    noise: Noise | None
    remarks: tuple[str, ...]
    denoise: Callable[[Iterable[Observed], Place | None], Iterator[DenoiseResult | None]]
    models: tuple[LearnedVAE, ...] = ()
    second: tuple[LearnedVAE, ...] = ()
    options: DenoiseOptions | None = None


def channel_model(
    parts: Sequence[ImageFile], settings: Settings, run: Run, *, of_one_image: bool = False
) -> ChannelModel:
    """Find the noise of a channel and learn a model of it.

    Parameters
    ----------
    parts : of one size, of images of the channel
    run : how to denoise its images
    of_one_image : what is to be denoised are tiles of the one image that all parts are from

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    one_by_one = partial(_one_by_one, settings=settings, run=run)
    if settings.model_per_frame:
        return ChannelModel(settings, None, (), one_by_one)
    seen = observe(ImageFile.joined(parts), settings)
    own = replace(settings, sigma=None, sensor=None)
    if seen.noise is None:
        own = replace(own, sigma=0.0)
        if not of_one_image and settings.sigma != 0:
            seen = replace(seen, remarks=(*seen.remarks, ALL_TOGETHER))
    else:
        own = replace(own, noise=(seen.noise, units_of(parts[0])))
    if seen.to_remove is None or settings.method.kind != "ours":
        return ChannelModel(own, seen.noise, seen.remarks, one_by_one)
    from denoise.pipeline.series import denoise_series, learn_series

    pixels = seen.image.pixels
    model = learn_series(
        pixels.reshape(len(parts), -1, *pixels.shape[1:]),
        seen.to_remove,
        replace(run, preset=settings.method.name),
        of_one_image=of_one_image,
    ).silent  # the images are counted, not the stages of each

    def pixels_of(seen: Observed) -> NDArray[np.floating]:
        image = seen.image.pixels
        if model.models[0].channels > 1 and image.ndim == 2:  # a gray image among others
            return with_equal_channels(image)
        if model.models[0].channels == 1 and image.ndim == 3:
            raise ImageError(
                f"{seen.image.path} is in colour, but those that were learned from are gray; use"
                " --model-per-frame"
            )
        return image

    def denoise(images: Iterable[Observed], place: Place | None) -> Iterator[DenoiseResult | None]:
        for is_done, some in groupby(images, lambda seen: seen.to_remove is None):
            if is_done:
                yield from (None for _ in some)
                continue
            yield from denoise_series(
                map(pixels_of, some), model, temporal=settings.temporal, place=place
            )

    return ChannelModel(
        own, seen.noise, seen.remarks, denoise, model.models, model.second, model.options
    )


def remarks_of(channels: Iterable[ChannelModel]) -> tuple[str, ...]:
    """What the user should know of all channels, each remark once."""
    return tuple(dict.fromkeys(remark for channel in channels for remark in channel.remarks))


def _one_by_one(
    images: Iterable[Observed], _: Place | None, settings: Settings, run: Run
) -> Iterator[DenoiseResult | None]:
    for seen in images:
        noise = seen.to_remove
        yield None if noise is None else settings.method.denoise(seen.image.pixels, noise, run)


def drawn_from(series: Series, channel: int, active: ActiveJob) -> list[ImageFile]:
    """Parts of one size of images of a channel, at places drawn at random."""
    mask, settings = active.job.mask, active.settings
    numbers = [one for one in range(len(series)) if series.channel_of(one) == channel]
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_PARTS)).round()
    side = math.isqrt(MOST_PIXELS // len(places))
    random = np.random.default_rng((settings.seed, channel))
    parts = []
    for place in places.astype(int):
        image = series.read(numbers[place])
        marked = None if mask is None else marked_pixels(mask, image, settings)
        image = with_missing(image, marked, fill=settings.fill_missing)
        height, width = image.pixels.shape[:2]
        top, left = (int(random.integers(max(size - side, 0) + 1)) for size in (height, width))
        parts.append(image.cut((slice(top, top + side), slice(left, left + side))))
    return [part for part in parts if not _is_blank(part)] or parts


def _is_blank(image: ImageFile) -> bool:
    """Whether there is no picture, or all its values are equal."""
    values = image.pixels[image.picture]
    values = values[~np.isnan(values)]
    return values.size == 0 or bool(values.min() == values.max())
