"""One file of several images in, one denoised file of as many images out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from denoise.cli.bands import POSSIBLE, check_streamed, tile_count
from denoise.cli.jobs import EXTRAS, ActiveJob
from denoise.cli.opened import is_streamed, named, run_of
from denoise.cli.reference import check_first_row, open_references
from denoise.cli.report import FileReport, report_of
from denoise.cli.series_frames import Frames, frames_in_rows, whole_frames
from denoise.cli.series_model import ChannelModel, channel_model, drawn_from, remarks_of
from denoise.cli.series_output import Writing, check_outputs, open_outputs
from denoise.cli.series_parts import SeriesParts
from denoise.cli.series_report import Tally, write_models
from denoise.errors import ImageError, OptionError, OutputError
from denoise.files.series import Series, count_images, series_format


def denoise_series_file(series: Series, active: ActiveJob) -> FileReport:
    """Denoise all images of a file, and write them into one file.

    Noise is measured and a model learned once for each channel, unless `settings.model_per_frame`.
    Quality is the mean over images.

    Raises
    ------
    DenoiseError
        With a message that names the file, the image in it if it is one, and what to do.
    """
    job, settings = active.job, active.settings
    writing = Writing(series_format, series.stored_axes, series.size[0])
    _check_possible(series, active)
    check_outputs(job, writing, series.like)
    with named(active.name):
        run = run_of(series.like, active)
        channels = [
            channel_model(drawn_from(series, channel, active), settings, run)
            for channel in range(series.channels)
        ]
    done, streamed = Tally(), is_streamed(series.size)
    report = replace(
        report_of(active, series.like, series.size, remarks_of(channels)),
        images=len(series),
        axes=dict(series.axes),
        noises=() if settings.model_per_frame else tuple(channel.noise for channel in channels),
        tiles=tile_count(series.size, channels[0]) if streamed else None,
    )
    frames = partial(frames_in_rows if streamed else whole_frames, series, channels, active, done)
    if job.shard is None:
        with ExitStack() as files:
            reference_of = None
            if job.reference is not None:
                clean = open_references(job.reference, settings.max_pixels)
                reference_of = files.enter_context(clean)
                check_first_row(reference_of(0), series.first)
            write = files.enter_context(open_outputs(active, writing, series.like))
            for _, bands in frames(reference_of, range(len(series))):
                for band in bands:
                    write(band.noisy, band.denoised, band.sigma)
        write_models(active, channels[0].models)
    else:
        left = _do_part(series, channels, active, writing, partial(frames, None))
        report = replace(report, images_left=left)
    return done.reported(report, active.seconds)


def _do_part(
    series: Series,
    channels: Sequence[ChannelModel],
    active: ActiveJob,
    writing: Writing,
    frames: Callable[[Sequence[int]], Frames],
) -> int:
    """Denoise the images of a part, and write the result if all are done.

    Returns
    -------
    how many images are left to other parts
    """
    job = active.job
    assert job.output is not None and job.shard is not None
    parts = SeriesParts(job.output, series)
    parts.agree(channels, active)
    mine = set(job.shard.part(range(len(series))))
    for number, bands in frames(sorted(mine.intersection(parts.missing()))):
        parts.write(number, (band.denoised for band in bands))
    if parts.are_joined:
        return 0
    left = len(parts.missing())
    if left == 0:
        try:
            with open_outputs(active, writing, series.like) as write:
                parts.join(lambda image: write(image, image, None))
        except (ImageError, OutputError):
            if not parts.are_joined:  # by another part, at the same time
                raise
        parts.remove()
    return left


def _check_possible(series: Series, active: ActiveJob) -> None:
    """Refuse what only a single image can have."""
    job, settings = active.job, active.settings
    for name in EXTRAS:
        if getattr(job, name) is not None and name not in POSSIBLE:
            option = "--" + name.replace("_", "-")
            raise OutputError(
                f"{job.input_name}: holds {len(series)} images, and {option} is about one; choose"
                " it with --frame"
            )
    if job.save_model is not None and (series.channels > 1 or settings.model_per_frame):
        raise OutputError(
            f"{job.input_name}: would need more than one model file; leave out --save-model, or"
            " choose an image with --frame"
        )
    if settings.time_budget is not None:
        raise OptionError(
            f"{job.input_name}: holds {len(series)} images, and --time-budget is about one; choose"
            " it with --frame, or a --preset"
        )
    if job.reference is not None and count_images(job.reference) not in (1, len(series)):
        raise ImageError(
            f"{job.reference}: holds {count_images(job.reference)} images, but {job.input_name}"
            f" {len(series)}; give a reference of as many, or of one"
        )
    if job.shard is not None and job.in_place:
        raise OutputError(f"{job.output}: is the input; --shard needs another output")
    if job.shard is not None and (job.output is None or job.extras or job.reference):
        raise OutputError(
            f"{job.input_name}: its parts are joined to one file; leave out --reference and what"
            " else is to be written"
        )
    if job.shard is not None and settings.temporal > 0:
        raise OptionError(
            f"{job.input_name}: its images help each other with --temporal, so that they are not"
            " shared out; leave out one of --shard and --temporal"
        )
    if not is_streamed(series.size):
        return
    height, width = series.size
    what = f"holds images of {width}x{height} pixels"
    check_streamed(what, active)
    if settings.temporal > 0:
        raise OptionError(
            f"{job.input_name}: {what}, denoised some rows at a time, and --temporal needs whole"
            " ones; leave it out, or cut the images into smaller ones"
        )
