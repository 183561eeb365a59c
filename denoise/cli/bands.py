"""Images too large for the memory, denoised in tiles: a row of tiles is read at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, groupby

import numpy as np
from numpy.typing import NDArray

from denoise.cli.jobs import EXTRAS, ActiveJob, FileJob
from denoise.cli.mask import with_missing
from denoise.cli.opened import named, observed
from denoise.cli.reference import ReferenceRows
from denoise.cli.series_model import ChannelModel
from denoise.cli.series_report import Tally
from denoise.errors import OptionError, OutputError
from denoise.files.image_file import ImageFile
from denoise.files.rows import RowImage
from denoise.pipeline.results import Progress
from denoise.pipeline.tiles import Tile, drawn_parts, place_of, tiles_of

# Files besides the result that are written some rows at a time, too, or do not grow with it.
POSSIBLE = {"residual", "uncertainty", "save_model"}


@dataclass(frozen=True)
class Band:
    """Some rows of an image, or all of them.

    Attributes
    ----------
    sigma : uncertainty of the values, if it is known
    """

    noisy: ImageFile
    denoised: ImageFile
    sigma: NDArray[np.floating] | None


def check_streamed(what: str, active: ActiveJob) -> None:
    """Refuse what would need a whole image at once.

    Parameters
    ----------
    what : is denoised, for the message, such as "is 300x200 pixels"
    """
    job, settings = active.job, active.settings
    text = f"{job.input_name}: {what}, denoised some rows at a time"
    advice = "; leave it out, or cut the image into smaller ones"
    for name in (*EXTRAS, "mask"):
        if getattr(job, name) is not None and name not in POSSIBLE:
            raise OutputError(f"{text}, and --{name.replace('_', '-')} needs all of it{advice}")
    if settings.time_budget is not None:
        raise OptionError(f"{text}, and --time-budget is about a whole image; choose a --preset")


def parts_of(image: RowImage, active: ActiveJob) -> list[ImageFile]:
    """Parts of one size that are drawn from an image, to learn from."""
    settings = active.settings
    return [
        with_missing(image.read(area), None, fill=settings.fill_missing)
        for area in drawn_parts(image.size, settings.seed)
    ]


def tile_count(size: tuple[int, int], channel: ChannelModel) -> int:
    """In how many tiles an image of this height and width is denoised."""
    return len(tiles_of(size, channel.options))


def tile_counter(active: ActiveJob, total: int) -> Callable[[], None]:
    """What to call after each tile."""
    numbers = count(1)
    return lambda: active.on_progress(Progress("tiles", next(numbers), total))


def bands_of(
    image: RowImage,
    channel: ChannelModel,
    reference: RowImage | None,
    active: ActiveJob,
    done: Tally,
    on_tile: Callable[[], None],
) -> Iterator[Band]:
    """Denoise an image; tiles beside each other share the rows that are read for them.

    Parameters
    ----------
    channel : a model for tiles of this image
    reference : its clean version, if there is one
    done : counts the image when its last rows have been taken
    """
    compared = None if reference is None else ReferenceRows(reference, image)
    tiles = tiles_of(image.size, channel.options)
    for _, beside in groupby(tiles, lambda tile: tile.core[0].start):
        pieces: list[Band] = []
        seen: ImageFile | None = None
        for tile in beside:
            rows, columns = tile.seen
            seen = seen or image.rows(rows.start, rows.stop)
            part = seen.cut((slice(None), columns))
            pieces.append(_denoised(part, tile, image, channel, active.missing, done))
            on_tile()
        sigmas = [piece.sigma for piece in pieces if piece.sigma is not None]
        band = Band(
            ImageFile.joined([piece.noisy for piece in pieces], 1),
            ImageFile.joined([piece.denoised for piece in pieces], 1),
            np.concatenate(sigmas, 1) if len(sigmas) == len(pieces) else None,
        )
        yield band
        if compared is not None:
            compared.add(band.noisy, band.denoised)
    quality = None if compared is None else compared.quality
    done.add_image(channel.noise, quality, channel.remarks)


def _denoised(
    seen: ImageFile, tile: Tile, image: RowImage, channel: ChannelModel, job: FileJob, done: Tally
) -> Band:
    """What a tile sees, denoised, and cut to its core."""
    settings = channel.settings
    opened = observed(with_missing(seen, None, fill=settings.fill_missing), job, settings)
    with named(job.input_name):
        [result] = channel.denoise([opened.seen], place_of(tile, image.size))
    denoised = opened.denoised(result, settings.strength)
    done.add(opened, result)
    sigma = None if result is None else result.uncertainty
    if job.uncertainty is not None and sigma is None:
        sigma = np.zeros_like(denoised.pixels)
    return Band(
        opened.noisy.cut(tile.core_seen),
        denoised.cut(tile.core_seen),
        None if sigma is None else sigma[tile.core_seen],
    )
