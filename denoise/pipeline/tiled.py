"""Large images in tiles: memory for the work is bounded by a tile, and no seam shows.

Each tile is denoised with its halo and then cut (`tiles`). Tiles share one model and one scale, and
take their random numbers from the place in the whole image. With `exact_halo` the result of a CPU
is that of the whole image to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError
from denoise.noise.interface import Noise
from denoise.pipeline.results import DenoiseResult, Progress
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.pipeline.series import SeriesModel, denoise_series, learn_series, scaled_to
from denoise.pipeline.tiles import (
    CORE,
    HALO,
    Area,
    Tile,
    drawn_parts,
    is_large,
    place_of,
    tiles_of,
)


class PixelSource(Protocol):
    """An array, or a file that is mapped or open, of which areas of pixels can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, C)."""

    def __getitem__(self, area: Area) -> ArrayLike:
        """The pixels of an area."""


def denoise_tiles(
    image: PixelSource, model: SeriesModel, *, core: int = CORE, halo: int = HALO
) -> Iterator[tuple[Tile, DenoiseResult]]:
    """Denoise an image tile by tile, row by row.

    Parameters
    ----------
    model : learned with `of_one_image`, or of a series and `scaled_to` the image
    core, halo : side of a core and width of the halo, in pixels

    Yields
    ------
    Tile, DenoiseResult
        The images of a result are those of the core.

    Raises
    ------
    ImageError, OptionError, DeviceError
        As of `denoise_image`.
    """
    for tile in tiles_of(image.shape, model.options, core=core, halo=halo):
        pixels = np.asarray(image[tile.seen])
        if np.isnan(pixels).all():
            rows, columns = tile.seen
            raise ImageError(
                f"holds no value at all in rows {rows.start + 1} to {rows.stop}, columns"
                f" {columns.start + 1} to {columns.stop}: so large a hole cannot be filled in"
            )
        [result] = denoise_series([pixels], model.silent, place=place_of(tile, image.shape))
        core_seen, sigma = tile.core_seen, result.uncertainty
        sigma = None if sigma is None else sigma[core_seen]
        yield tile, replace(result, image=result.image[core_seen], uncertainty=sigma)


def denoise_in_tiles(
    image: ArrayLike,
    noise: float | Noise,
    run: Run = DEFAULT_RUN,
    *,
    core: int = CORE,
    halo: int = HALO,
) -> DenoiseResult:
    """Denoise a large image that is in memory, with no more of it for the work than for a tile.

    Parameters
    ----------
    image, noise, run : see `denoise_image`; the model is learned on parts of the image, and there
        is no time budget
    core, halo : side of a core and width of the halo, in pixels

    Raises
    ------
    ImageError, OptionError, DeviceError, TrainingError
        As of `denoise_image`.
    """
    pixels = np.asarray(image)
    model = learn_series(_parts_of(pixels, run.seed), noise, run, of_one_image=True)
    result = _assembled(pixels, model, core=core, halo=halo)
    return result.with_models(model.models, learned=run.models is None)


def denoise_frames(
    frames: Iterable[ArrayLike], model: SeriesModel, *, temporal: int = 0
) -> Iterator[DenoiseResult]:
    """Denoise the images of a series as `denoise_series` does, but large ones in tiles.

    Parameters
    ----------
    temporal : see `denoise_series`; images that help each other are denoised whole

    Raises
    ------
    ImageError, OptionError, DeviceError
        As of `denoise_image`.
    """
    arrays = map(np.asarray, frames)
    for in_tiles, some in groupby(
        arrays, lambda frame: temporal == 0 and is_large(frame, model.noise)
    ):
        if not in_tiles:
            yield from denoise_series(some, model, temporal=temporal)
            continue
        for frame in some:
            scaled = scaled_to(model, _parts_of(frame, model.run.seed))
            yield _assembled(frame, scaled, core=CORE, halo=HALO)


def _parts_of(pixels: NDArray[np.generic], seed: int) -> NDArray[np.generic]:
    return np.stack([pixels[area] for area in drawn_parts(pixels.shape, seed)])


def _assembled(
    pixels: NDArray[np.generic], model: SeriesModel, *, core: int, halo: int
) -> DenoiseResult:
    """An image in memory, denoised in tiles and put together."""
    count = len(tiles_of(pixels.shape, model.options, core=core, halo=halo))
    denoised, sigma, seconds = None, None, dict[str, float]()
    tiles = denoise_tiles(pixels, model, core=core, halo=halo)
    for done, (tile, result) in enumerate(tiles, start=1):
        if denoised is None:
            denoised = np.empty(pixels.shape, result.image.dtype)
            sigma = np.empty(pixels.shape, np.float32) if model.run.with_uncertainty else None
        denoised[tile.core] = result.image
        if sigma is not None and result.uncertainty is not None:
            sigma[tile.core] = result.uncertainty
        for stage, time in result.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + time
        model.run.on_progress(Progress("tiles", done, count))
    assert denoised is not None
    return replace(result, image=denoised, uncertainty=sigma, seconds=seconds, tiles=count)
