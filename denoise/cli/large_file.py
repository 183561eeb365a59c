"""One file with an image too large for the memory in, one denoised file out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from denoise.cli.jobs import EXTRAS, ActiveJob, FileJob
from denoise.cli.mask import with_missing
from denoise.cli.opened import named, observed, run_of
from denoise.cli.reference import ReferenceRows
from denoise.cli.report import FileReport, report_of
from denoise.cli.series_model import ChannelModel, channel_model
from denoise.cli.series_output import Writing, check_outputs, open_outputs
from denoise.cli.series_report import Tally, write_models
from denoise.errors import OptionError, OutputError
from denoise.files.image_file import ImageFile
from denoise.files.rows import RowImage, open_rows, rows_format, rows_writer
from denoise.pipeline.results import Progress
from denoise.pipeline.tiles import Tile, drawn_parts, place_of, tiles_of

# Files besides the result that are written some rows at a time, too, or do not grow with it.
POSSIBLE = {"residual", "uncertainty", "save_model"}


@dataclass(frozen=True)
class _Band:
    """Tiles beside each other, put together.

    Attributes
    ----------
    sigma : uncertainty of the values, if it is known
    """

    noisy: ImageFile
    denoised: ImageFile
    sigma: NDArray[np.floating] | None


def denoise_large_file(image: RowImage, active: ActiveJob) -> FileReport:
    """Denoise an image in tiles, and write rows as they are done.

    Noise is measured, and the model learned, on parts of the image.

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    height, _ = image.size
    writing = Writing(
        rows_format,
        lambda file, format_, like, strip: rows_writer(file, format_, height, like, strip=strip),
    )
    _check_possible(image, active)
    check_outputs(active.missing, writing, image.like)
    channel = _model(image, active)
    tiles = tiles_of(image.size, channel.options)
    done = Tally()
    with ExitStack() as files:
        reference = None
        if active.job.reference is not None:
            clean = open_rows(active.job.reference, max_pixels=active.settings.max_pixels)
            reference = ReferenceRows(files.enter_context(clean), image)
        write = files.enter_context(open_outputs(active, writing, image.like))
        for band in _bands(image, tiles, channel, active, done):
            write(band.noisy, band.denoised, band.sigma)
            if reference is not None:
                reference.add(band.noisy, band.denoised)
        quality = None if reference is None else reference.quality
    write_models(active, channel.models)
    report = report_of(active, image.like, image.size, channel.remarks)
    report = replace(report, tiles=len(tiles), noises=(channel.noise,))
    report = done.reported(report, active.seconds)
    return replace(report, noises=(), quality=quality)


def _model(image: RowImage, active: ActiveJob) -> ChannelModel:
    """What is learned of some parts of the image."""
    settings = active.settings
    with named(active.name):
        run = run_of(image.like, active)
        parts = [
            with_missing(image.read(area), None, fill=settings.fill_missing)
            for area in drawn_parts(image.size, settings.seed)
        ]
        alone = replace(settings, model_per_frame=False, temporal=0)  # of several images
        return channel_model(parts, alone, run, of_one_image=True)


def _bands(
    image: RowImage,
    tiles: list[Tile],
    channel: ChannelModel,
    active: ActiveJob,
    done: Tally,
) -> Iterator[_Band]:
    """Denoise all tiles; those beside each other share the rows that are read for them."""
    finished = 0
    for _, beside in groupby(tiles, lambda tile: tile.core[0].start):
        pieces: list[_Band] = []
        band: ImageFile | None = None
        for tile in beside:
            rows, columns = tile.seen
            band = band or image.rows(rows.start, rows.stop)
            pieces.append(
                _denoised(
                    band.cut((slice(None), columns)), tile, image, channel, active.missing, done
                )
            )
            finished += 1
            active.on_progress(Progress("tiles", finished, len(tiles)))
        sigmas = [piece.sigma for piece in pieces if piece.sigma is not None]
        yield _Band(
            ImageFile.joined([piece.noisy for piece in pieces], 1),
            ImageFile.joined([piece.denoised for piece in pieces], 1),
            np.concatenate(sigmas, 1) if len(sigmas) == len(pieces) else None,
        )


def _denoised(
    seen: ImageFile, tile: Tile, image: RowImage, channel: ChannelModel, job: FileJob, done: Tally
) -> _Band:
    """What a tile sees, denoised, and cut to its core."""
    settings = channel.settings
    opened = observed(with_missing(seen, None, fill=settings.fill_missing), job, settings)
    with named(job.input_name):
        [result] = channel.denoise([opened.seen], place_of(tile, image.size))
    denoised = opened.denoised(result, settings.strength)
    done.add(opened, denoised, result)
    sigma = None if result is None else result.uncertainty
    if job.uncertainty is not None and sigma is None:
        sigma = np.zeros_like(denoised.pixels)
    return _Band(
        opened.noisy.cut(tile.core_seen),
        denoised.cut(tile.core_seen),
        None if sigma is None else sigma[tile.core_seen],
    )


def _check_possible(image: RowImage, active: ActiveJob) -> None:
    """Refuse what would need the whole image at once."""
    job = active.job
    height, width = image.size
    what = f"{job.input_name}: is {width}x{height} pixels, denoised some rows at a time"
    advice = "; leave it out, or cut the image into smaller ones"
    for name in (*EXTRAS, "mask"):
        if getattr(job, name) is not None and name not in POSSIBLE:
            raise OutputError(f"{what}, and --{name.replace('_', '-')} needs all of it{advice}")
    if active.settings.time_budget is not None:
        raise OptionError(f"{what}, and --time-budget is about a whole image; choose a --preset")
