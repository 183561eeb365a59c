"""What images of a channel, or tiles, have in common: their noise, and what denoises them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from denoise.cli.file_noise import Observed, observe, units_of
from denoise.cli.jobs import ActiveJob
from denoise.cli.mask import marked_pixels, with_missing
from denoise.cli.opened import is_streamed
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
from denoise.pipeline.series import SeriesModel, denoise_series, learn_series, scaled_to
from denoise.pipeline.tiled import denoise_frames
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
    run : how to denoise
    noise : given or found; None if there is none, or if each image has its own
    remarks : what the user should know of it
    model : what was learned; None where there is nothing to learn, or each image has its own model
    """

    settings: Settings
    run: Run
    noise: Noise | None
    remarks: tuple[str, ...]
    model: SeriesModel | None = None

    @property
    def models(self) -> tuple[LearnedVAE, ...]:
        """What was learned for a first look at an image."""
        return () if self.model is None else self.model.models

    @property
    def second(self) -> tuple[LearnedVAE, ...]:
        """What was learned for a second look."""
        return () if self.model is None else self.model.second

    @property
    def options(self) -> DenoiseOptions | None:
        """All settings of our own method."""
        return None if self.model is None else self.model.options

    def for_image(self, parts: Sequence[ImageFile]) -> ChannelModel:
        """The same for the tiles of one image of the channel, of which these are parts of one size.

        Raises
        ------
        DenoiseError
            If they cannot be denoised.
        """
        if self.model is None:
            return self
        seen = observe(ImageFile.joined(parts), self.settings)
        if seen.to_remove is None:  # there is no data in them, and each tile has a scale of its own
            return self
        return replace(self, model=scaled_to(self.model, _split(self._pixels_of(seen), len(parts))))

    def denoise(
        self, images: Iterable[Observed], place: Place | None = None
    ) -> Iterator[DenoiseResult | None]:
        """The result of each image by what was observed of it, in their order.

        It is None where there is nothing to remove or to fill in.

        Parameters
        ----------
        place : that the images have in a larger one, if they are tiles; other images are cut into
            tiles if they are large
        """
        if self.model is None:
            for seen in images:
                noise, method = seen.to_remove, self.settings.method
                yield None if noise is None else method.denoise(seen.image.pixels, noise, self.run)
            return
        for is_done, some in groupby(images, lambda seen: seen.to_remove is None):
            pixels = map(self._pixels_of, some)
            if is_done:
                yield from (None for _ in some)
            elif place is None:
                yield from denoise_frames(pixels, self.model, temporal=self.settings.temporal)
            else:
                yield from denoise_series(pixels, self.model, place=place)

    def _pixels_of(self, seen: Observed) -> NDArray[np.floating]:
        image, channels = seen.image.pixels, self.models[0].channels
        if channels > 1 and image.ndim == 2:  # a gray image among others
            return with_equal_channels(image)
        if channels == 1 and image.ndim == 3:
            raise ImageError(
                f"{seen.image.path} is in colour, but those that were learned from are gray; use"
                " --model-per-frame"
            )
        return image


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
    if settings.model_per_frame:
        return ChannelModel(settings, run, None, ())
    seen = observe(ImageFile.joined(parts), settings)
    own = replace(settings, sigma=None, sensor=None)
    if seen.noise is None:
        own = replace(own, sigma=0.0)
        if not of_one_image and settings.sigma != 0:
            seen = replace(seen, remarks=(*seen.remarks, ALL_TOGETHER))
    else:
        own = replace(own, noise=(seen.noise, units_of(parts[0])))
    channel = ChannelModel(own, run, seen.noise, seen.remarks)
    if seen.to_remove is None or settings.method.kind != "ours":
        return channel
    model = learn_series(
        _split(seen.image.pixels, len(parts)),
        seen.to_remove,
        replace(run, preset=settings.method.name),
        of_one_image=of_one_image,
    )
    return replace(channel, model=model.silent)  # images are counted, not the stages of each


def _split(pixels: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """Images that are one below the other, as an array (count, height, width) or (..., 3)."""
    return pixels.reshape(count, -1, *pixels.shape[1:])


def remarks_of(channels: Iterable[ChannelModel]) -> tuple[str, ...]:
    """What the user should know of all channels, each remark once."""
    return tuple(dict.fromkeys(remark for channel in channels for remark in channel.remarks))


def drawn_from(series: Series, channel: int, active: ActiveJob) -> list[ImageFile]:
    """Parts of one size of images of a channel, at places drawn at random."""
    mask, settings = active.job.mask, active.settings
    numbers = [one for one in range(len(series)) if series.channel_of(one) == channel]
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_PARTS)).round()
    side = math.isqrt(MOST_PIXELS // len(places))
    random = np.random.default_rng((settings.seed, channel))
    parts = []
    for place in places.astype(int):
        image = series.frame(numbers[place])
        starts = [int(random.integers(max(size - side, 0) + 1)) for size in image.size]
        rows, columns = (
            slice(start, min(start + side, size))
            for start, size in zip(starts, image.size, strict=True)
        )
        if is_streamed(image.size):
            parts.append(
                with_missing(image.read((rows, columns)), None, fill=settings.fill_missing)
            )
            continue
        whole = series.read(numbers[place])
        marked = None if mask is None else marked_pixels(mask, whole, settings)
        parts.append(with_missing(whole, marked, fill=settings.fill_missing).cut((rows, columns)))
    return [part for part in parts if not _is_blank(part)] or parts


def _is_blank(image: ImageFile) -> bool:
    """Whether there is no picture, or all its values are equal."""
    values = image.pixels[image.picture]
    values = values[~np.isnan(values)]
    return values.size == 0 or bool(values.min() == values.max())
