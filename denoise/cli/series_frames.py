"""How the images of a series are denoised: whole, or some rows at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from denoise.cli.bands import Band, bands_of, parts_of, tile_count, tile_counter
from denoise.cli.file_noise import Observed
from denoise.cli.jobs import ActiveJob, FileJob
from denoise.cli.large_file import model_of_image
from denoise.cli.opened import OpenedFile, named, open_frame
from denoise.cli.reference import checked_reference, quality_of
from denoise.cli.series_model import ChannelModel
from denoise.cli.series_report import Tally
from denoise.cli.settings import Settings
from denoise.files.rows import RowImage
from denoise.files.series import Series
from denoise.pipeline.results import DenoiseResult, Progress

# Images by their numbers, from 0, each with its rows, or all of it in one piece.
Frames = Iterator[tuple[int, Iterator[Band]]]
# From the number of an image to its reference; None if there is none.
ReferenceOf = Callable[[int], RowImage] | None


def frames_in_rows(
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


def whole_frames(
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
