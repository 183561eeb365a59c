"""Large images in tiles: memory is bounded by a tile, and no seam shows.

Each tile is denoised with a border of its neighbours around it, the halo, and then cut: every pixel
of the result is that of the one tile whose core it lies in. Tiles share one model, begin where
patches of the whole image do, and take their random numbers from the place in it. With
`exact_halo` the result of a CPU is that of the whole image to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from denoise.errors import ImageError
from denoise.noise.interface import Noise
from denoise.options import DenoiseOptions
from denoise.patches import Place
from denoise.pipeline.results import DenoiseResult, Progress
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.pipeline.series import SeriesModel, denoise_series, learn_series

# Side of a core and width of the halo, in pixels; docs/large.md has how little is left of seams.
CORE, HALO = 1536, 96
# Images of more pixels are denoised in tiles.
LARGE = 2**22
# The model is learned on a part of each cell of a grid of this many rows and columns; the parts
# have at most this side.
GRID, PART_SIDE = 4, 512

Area = tuple[slice, slice]


class PixelSource(Protocol):
    """An array, or a file that is mapped or open, of which areas of pixels can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, C)."""

    def __getitem__(self, area: Area) -> ArrayLike:
        """The pixels of an area."""


@dataclass(frozen=True)
class Tile:
    """A part of an image, as rows and columns of the whole.

    Attributes
    ----------
    core : the part of the result that is taken from this tile
    seen : the core and its halo, which are read
    """

    core: Area
    seen: Area

    @property
    def pixels(self) -> int:
        """The number of pixels that are seen."""
        rows, columns = self.seen
        return int((rows.stop - rows.start) * (columns.stop - columns.start))

    @property
    def core_seen(self) -> Area:
        """The core as rows and columns of what is seen."""
        rows, columns = (
            slice(core.start - seen.start, core.stop - seen.start)
            for core, seen in zip(self.core, self.seen, strict=True)
        )
        return rows, columns


def tiles_of(
    shape: tuple[int, ...], options: DenoiseOptions | None, *, core: int = CORE, halo: int = HALO
) -> list[Tile]:
    """Tiles that cover an image, row by row.

    Parameters
    ----------
    shape : of the image
    options : decide where patches lie; tiles begin at multiples of their distances. None for a
        method without
    core : side in pixels, at most about; cores are of about one size
    halo : its width in pixels, at least
    """
    step = _step(options)
    border = step * math.ceil(halo / step)

    def along(size: int) -> list[tuple[slice, slice]]:
        length = step * math.ceil(size / math.ceil(size / core) / step)
        ends = [(start, min(start + length, size)) for start in range(0, size, length)]
        return [
            (slice(start, stop), slice(max(start - border, 0), min(stop + border, size)))
            for start, stop in ends
        ]

    rows, columns = (along(size) for size in shape[:2])
    return [
        Tile((row, column), (seen_rows, seen_columns))
        for row, seen_rows in rows
        for column, seen_columns in columns
    ]


def exact_halo(options: DenoiseOptions, *, looks: int = 1) -> int:
    """How far a pixel of the result depends on others, where none is missing.

    Parameters
    ----------
    looks : how often the image is denoised; twice where there are few photons
    """
    reach, refinement = max(options.model.patch_sizes), options.refinement
    if refinement is not None:
        # A pass sees the patches around each of those that cover a pixel.
        span = 2 * refinement.window + max(refinement.patch_sizes) - 1
        reach += refinement.passes * span
        last = refinement.last_patch_sizes
        reach += 2 * refinement.window + max(last) - 1 if last else 0
    return looks * reach


def denoise_tiles(
    image: PixelSource, model: SeriesModel, *, core: int = CORE, halo: int = HALO
) -> Iterator[tuple[Tile, DenoiseResult]]:
    """Denoise an image tile by tile, row by row.

    Parameters
    ----------
    model : learned with `of_one_image`
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


def is_large(image: ArrayLike, noise: float | Noise) -> bool:
    """Whether an image is better denoised in tiles: without noise there are only holes to fill."""
    known = noise if isinstance(noise, float | int) else noise.stabilised_sigma
    return known > 0 and math.prod(np.shape(image)[:2]) > LARGE


def place_of(tile: Tile, shape: tuple[int, ...]) -> Place:
    """The place in an image of this shape of what a tile sees."""
    rows, columns = tile.seen
    return Place(rows.start, columns.start, shape[1])


def drawn_parts(shape: tuple[int, ...], seed: int = 0) -> list[Area]:
    """Parts of one size of an image, spread over it, to learn from.

    Each is drawn at random from its cell of a grid.
    """
    random = np.random.default_rng(seed)

    def drawn(number: int, size: int) -> slice:
        length = min(PART_SIDE, size)
        start = int((number + random.random()) / GRID * (size - length + 1))
        return slice(start, start + length)

    height, width = shape[:2]
    return [(drawn(row, height), drawn(column, width)) for row, column in np.ndindex(GRID, GRID)]


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
    parts = np.stack([pixels[area] for area in drawn_parts(pixels.shape, run.seed)])
    model = learn_series(parts, noise, run, of_one_image=True)
    count = len(tiles_of(pixels.shape, model.options, core=core, halo=halo))
    tiles = denoise_tiles(pixels, model, core=core, halo=halo)
    denoised, sigma, seconds = None, None, dict[str, float]()
    for done, (tile, result) in enumerate(tiles, start=1):
        if denoised is None:
            denoised = np.empty(pixels.shape, result.image.dtype)
            sigma = np.empty(pixels.shape, np.float32) if run.with_uncertainty else None
        denoised[tile.core] = result.image
        if sigma is not None and result.uncertainty is not None:
            sigma[tile.core] = result.uncertainty
        for stage, time in result.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + time
        run.on_progress(Progress("tiles", done, count))
    assert denoised is not None
    whole = replace(result, image=denoised, uncertainty=sigma, seconds=seconds, tiles=count)
    return whole.with_models(model.models, learned=run.models is None)


def _step(options: DenoiseOptions | None) -> int:
    """The distance, in pixels, after which the patches of all stages lie alike again."""
    if options is None:
        return 1
    refinement, strides = options.refinement, [options.inference.stride]
    if refinement is not None:
        sizes = refinement.patch_sizes + refinement.last_patch_sizes
        strides += [min(refinement.stride, size) for size in sizes]
    return math.lcm(*strides)
