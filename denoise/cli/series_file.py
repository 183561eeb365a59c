"""One file of several images in, one denoised file of as many images out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from denoise.cli.bands import (
    POSSIBLE,
    Band,
    bands_of,
    check_streamed,
    parts_of,
    tile_count,
    tile_counter,
)
from denoise.cli.file_noise import Observed
from denoise.cli.jobs import EXTRAS, ActiveJob, FileJob
from denoise.cli.large_file import model_of_image
from denoise.cli.opened import OpenedFile, is_streamed, named, open_frame, run_of
from denoise.cli.reference import check_first_row, checked_reference, open_references, quality_of
from denoise.cli.report import FileReport, report_of
from denoise.cli.series_model import ChannelModel, channel_model, drawn_from, remarks_of
from denoise.cli.series_output import Writing, check_outputs, open_outputs
from denoise.cli.series_parts import SeriesParts
from denoise.cli.series_report import Tally, write_models
from denoise.cli.settings import Settings
from denoise.errors import ImageError, OptionError, OutputError
from denoise.files.rows import RowImage
from denoise.files.series import Series, count_images, series_format
from denoise.pipeline.results import DenoiseResult, Progress

# Images by their numbers, from 0, each with its rows, or all of it in one piece.
Frames = Iterator[tuple[int, Iterator[Band]]]


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
    frames = partial(_in_rows if streamed else _whole, series, channels, active, done)
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


# From the number of an image to its reference; None if there is none.
ReferenceOf = Callable[[int], RowImage] | None


def _in_rows(
    series: Series,
    channels: Sequence[ChannelModel],
    active: ActiveJob,
    done: Tally,
    reference_of: ReferenceOf,
    numbers: Sequence[int],
) -> Frames:
    """Images too large for the memory, one after the other, each in tiles."""
    tiles = tile_count(series.size, channels[0])
    on_tile = tile_counter(active, len(numbers) * tiles)
    for number in numbers:
        image = series.frame(number)
        if active.settings.model_per_frame:
            channel = model_of_image(image, active)
        else:
            with named(active.name):
                channel = channels[series.channel_of(number)].for_image(parts_of(image, active))
        reference = None if reference_of is None else reference_of(number)
        yield number, bands_of(image, channel, reference, active, done, on_tile)


def _whole(
    series: Series,
    channels: Sequence[ChannelModel],
    active: ActiveJob,
    done: Tally,
    reference_of: ReferenceOf,
    numbers: Sequence[int],
) -> Frames:
    """Images that are read at once.

    Sequences are denoised side by side, so that images come in the order of the file.
    """
    by_sequence: dict[tuple[int, ...], list[int]] = {}
    for number in numbers:
        by_sequence.setdefault(series.sequence_of(number), []).append(number)
    streams = {
        place: _Stream(series, channels[series.channel_of(some[0])], active.job, some)
        for place, some in by_sequence.items()
    }
    for finished, number in enumerate(numbers, start=1):
        opened, result = next(streams[series.sequence_of(number)])
        noisy, denoised = opened.noisy, opened.denoised(result, active.settings.strength)
        sigma = None if result is None else result.uncertainty
        yield number, iter([Band(noisy, denoised, sigma)])
        quality = None
        if reference_of is not None:
            clean = checked_reference(reference_of(number).all(), noisy)
            if (noisy.picture & clean.picture).any():
                quality = quality_of(noisy, denoised, clean)
        done.add(opened, result)
        done.add_image(opened.seen.noise, quality)
        active.on_progress(Progress("series", finished, len(numbers)))


class _Stream:
    """Images of a sequence, as they were opened, and what the method makes of them, in their order.

    They are opened as the method needs them, which may be some ahead.
    """

    def __init__(
        self, series: Series, channel: ChannelModel, job: FileJob, numbers: Sequence[int]
    ) -> None:
        self._name = job.input_name
        self._opened: deque[OpenedFile] = deque()
        self._results = channel.denoise(self._seen(series, channel.settings, job, numbers))

    def __next__(self) -> tuple[OpenedFile, DenoiseResult | None]:
        with named(self._name):
            result = next(self._results)
        return self._opened.popleft(), result

    def _seen(
        self, series: Series, settings: Settings, job: FileJob, numbers: Sequence[int]
    ) -> Iterator[Observed]:
        for number in numbers:
            opened = open_frame(series.read(number), job, settings)
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
