"""One file of several images in, one denoised file of as many images out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from denoise.cli.earlier_results import is_whole_series
from denoise.cli.jobs import EXTRAS, FileJob
from denoise.cli.opened import named, open_image
from denoise.cli.outputs_in_pieces import Append, Writing, check_outputs, open_outputs
from denoise.cli.pieces_report import Done, report_of, write_model
from denoise.cli.report import FileReport
from denoise.cli.settings import Settings
from denoise.cli.shared_model import channel_model, series_parts
from denoise.devices import pick_device
from denoise.errors import OptionError, OutputError
from denoise.files.formats import Format
from denoise.files.image_file import ImageFile
from denoise.files.series import Series, SeriesWriter, series_format
from denoise.results import Progress
from denoise.vae.learned import LearnedVAE
from denoise.vae.saved import load_models

# Files about an image that there are of a series, too.
POSSIBLE = {"residual", "uncertainty", "save_model"}


def denoise_series_file(
    series: Series,
    job: FileJob,
    settings: Settings,
    started: float,
    on_progress: Callable[[Progress], None],
) -> FileReport:
    """Denoise all images of a file, and write them into one file.

    Noise is measured and a model learned once for each channel, unless `settings.model_per_frame`.
    Quality is the mean over images.

    Parameters
    ----------
    started : by `time.perf_counter`

    Raises
    ------
    DenoiseError
        With a message that names the file, the image in it if it is one, and what to do.
    """
    first, writing = series.first, _writing(series)
    _check_possible(series, job, settings)
    check_outputs(job, writing, first)
    if settings.skip_existing and job.output is not None:
        limit = settings.max_pixels
        if is_whole_series(job.output, series, first, max_pixels=limit):
            return FileReport(job.input_name, job.output_name, "skipped")
    with named(job.input_name):
        models: tuple[LearnedVAE, ...] = ()
        if job.load_model is not None:
            models = load_models(job.load_model, pick_device(settings.device))
        channels = [
            channel_model(
                series_parts(series, channel, job, settings), job, settings, models, on_progress
            )
            for channel in range(series.channels)
        ]
    done = Done()
    with open_outputs(job, writing, first, settings) as write:
        for number in range(len(series)):
            channel = channels[series.channel_of(number)]
            opened = open_image(
                series.read(number), job, replace(channel.settings, frame=number + 1)
            )
            result = None
            if opened.seen.to_remove is not None:
                with named(str(opened.noisy.path)):
                    result = channel.denoise(opened.seen, None)
            denoised = opened.denoised(result, settings.strength)
            write(opened.noisy, denoised, None if result is None else result.uncertainty)
            done.add(opened, denoised, result)
            on_progress(Progress("series", number + 1, len(series)))
    write_model(job, channels[0].models, settings)
    remarks = dict.fromkeys(remark for channel in channels for remark in channel.remarks)
    report = replace(
        report_of(job, settings, first, first.pixels.shape[:2], tuple(remarks)),
        images=len(series),
        axes=dict(series.axes),
        noises=() if settings.model_per_frame else tuple(channel.noise for channel in channels),
    )
    return done.reported(report, time.perf_counter() - started)


def _writing(series: Series) -> Writing:
    @contextmanager
    def opened(file: BinaryIO, format_: Format, _: ImageFile, strip: bool) -> Iterator[Append]:
        yield SeriesWriter(file, format_, series.axes, strip=strip).write

    return Writing(series_format, opened)


def _check_possible(series: Series, job: FileJob, settings: Settings) -> None:
    """Refuse what only a single image can have."""
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
