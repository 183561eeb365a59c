"""One file of several images in, one denoised file of as many images out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from denoise.cli.file_noise import Observed
from denoise.cli.jobs import EXTRAS, ActiveJob, FileJob
from denoise.cli.opened import OpenedFile, named, open_image, run_of
from denoise.cli.report import FileReport, report_of
from denoise.cli.series_model import ChannelModel, channel_model, drawn_from, remarks_of
from denoise.cli.series_output import check_outputs, open_outputs, writing_series
from denoise.cli.series_parts import SeriesParts
from denoise.cli.series_report import Tally, write_models
from denoise.cli.settings import Settings
from denoise.errors import ImageError, OptionError, OutputError
from denoise.files.image_file import ImageFile
from denoise.files.series import Series, count_images
from denoise.pipeline.results import DenoiseResult, Progress

# Files besides the result that can be written for a series, too.
POSSIBLE = {"residual", "uncertainty", "save_model"}


def denoise_series_file(series: Series, active: ActiveJob) -> FileReport:
    """Denoise all images of a file, and write them into one file.

    Noise is measured and a model learned once for each channel, unless `settings.model_per_frame`.
    Quality is the mean over images.

    Raises
    ------
    DenoiseError
        With a message that names the file, the image in it if it is one, and what to do.
    """
    _check_possible(series, active)
    job, settings = active.job, active.settings
    with named(active.name):
        run = run_of(series.first, active)
        channels = [
            channel_model(drawn_from(series, channel, active), settings, run)
            for channel in range(series.channels)
        ]
    done, size = Tally(), series.first.picture.shape
    report = replace(
        report_of(active, series.first, size, remarks_of(channels)),
        images=len(series),
        axes=dict(series.axes),
        noises=() if settings.model_per_frame else tuple(channel.noise for channel in channels),
    )
    files = open_outputs(active, writing_series(series), series.first)
    images = partial(_denoised, series, channels, active, done)
    if job.shard is not None:
        assert job.output is not None
        parts = SeriesParts(job.output, series)
        parts.agree(channels, active)
        mine = set(job.shard.part(range(len(series))))
        for number, _, denoised, _ in images(sorted(mine.intersection(parts.missing()))):
            parts.write(number, denoised)
        left = 0 if parts.are_joined else len(parts.missing())
        if left == 0 and not parts.are_joined:
            try:
                with files as write:
                    parts.join(lambda image: write(image, image, None))
            except (ImageError, OutputError):
                if not parts.are_joined:  # by another part, at the same time
                    raise
            parts.remove()
        report = replace(report, images_left=left)
    else:
        with files as write:
            for _, noisy, denoised, result in images(range(len(series))):
                write(noisy, denoised, None if result is None else result.uncertainty)
        write_models(active, channels[0].models)
    return done.reported(report, active.seconds)


def _denoised(
    series: Series,
    channels: Sequence[ChannelModel],
    active: ActiveJob,
    done: Tally,
    numbers: Sequence[int],
) -> Iterator[tuple[int, ImageFile, ImageFile, DenoiseResult | None]]:
    """Some images of a series, from 0: number, noisy, denoised, and what the method made of it.

    Sequences are denoised side by side, so that images come in the order of the file.
    """
    by_sequence: dict[tuple[int, ...], list[int]] = {}
    for number in numbers:
        by_sequence.setdefault(series.sequence_of(number), []).append(number)
    streams = {
        place: _Stream(series, channels[series.channel_of(some[0])], active.job, some)
        for place, some in by_sequence.items()
    }
    for count, number in enumerate(numbers, start=1):
        opened, result = next(streams[series.sequence_of(number)])
        denoised = opened.denoised(result, active.settings.strength)
        yield number, opened.noisy, denoised, result
        done.add(opened, denoised, result)
        active.on_progress(Progress("series", count, len(numbers)))


class _Stream:
    """Images of a sequence, as they were opened, and what the method makes of them, in their order.

    They are opened as the method needs them, which may be some ahead.
    """

    def __init__(
        self, series: Series, channel: ChannelModel, job: FileJob, numbers: Sequence[int]
    ) -> None:
        self._name = job.input_name
        self._opened: deque[OpenedFile] = deque()
        self._results = channel.denoise(self._seen(series, channel.settings, job, numbers), None)

    def __next__(self) -> tuple[OpenedFile, DenoiseResult | None]:
        with named(self._name):
            result = next(self._results)
        return self._opened.popleft(), result

    def _seen(
        self, series: Series, settings: Settings, job: FileJob, numbers: Sequence[int]
    ) -> Iterator[Observed]:
        for number in numbers:
            opened = open_image(series.read(number), job, replace(settings, frame=number + 1))
            self._opened.append(opened)
            yield opened.seen


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
    check_outputs(job, writing_series(series), series.first)
