"""One file with an image too large for the memory in, one denoised file out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from denoise.cli.bands import bands_of, check_streamed, parts_of, tile_count, tile_counter
from denoise.cli.jobs import ActiveJob
from denoise.cli.opened import named, run_of
from denoise.cli.report import FileReport, report_of
from denoise.cli.series_model import ChannelModel, channel_model
from denoise.cli.series_output import Writing, check_outputs, open_outputs
from denoise.cli.series_report import Tally, write_models
from denoise.files.rows import RowImage, open_rows, rows_format


def denoise_large_file(image: RowImage, active: ActiveJob) -> FileReport:
    """Denoise an image in tiles, and write rows as they are done.

    Noise is measured, and the model learned, on parts of the image.

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    height, width = image.size
    writing = Writing(rows_format, (), height)
    check_streamed(f"is {width}x{height} pixels", active)
    check_outputs(active.missing, writing, image.like)
    channel = model_of_image(image, active)
    tiles, done = tile_count(image.size, channel), Tally()
    with ExitStack() as files:
        reference = None
        if active.job.reference is not None:
            clean = open_rows(active.job.reference, max_pixels=active.settings.max_pixels)
            reference = files.enter_context(clean)
        bands = bands_of(image, channel, reference, active, done, tile_counter(active, tiles))
        write = files.enter_context(open_outputs(active, writing, image.like))
        for band in bands:
            write(band.noisy, band.denoised, band.sigma)
    write_models(active, channel.models)
    report = report_of(active, image.like, image.size, channel.remarks)
    report = done.reported(replace(report, tiles=tiles), active.seconds)
    return replace(report, noises=())


def model_of_image(image: RowImage, active: ActiveJob) -> ChannelModel:
    """What is learned of some parts of an image alone."""
    with named(active.name):
        run = run_of(image.like, active)
        alone = replace(active.settings, model_per_frame=False, temporal=0)  # of several images
        return channel_model(parts_of(image, active), alone, run, of_one_image=True)
