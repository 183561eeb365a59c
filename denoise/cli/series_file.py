"""One file of several images in, one denoised file of as many images out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from statistics import fmean

from denoise.cli.file_noise import is_given, outlier_notes
from denoise.cli.jobs import EXTRAS, FileJob
from denoise.cli.opened import OpenedFile, named, open_image
from denoise.cli.reference import quality_of
from denoise.cli.report import FileReport
from denoise.cli.series_model import ChannelModel, channel_model
from denoise.cli.series_output import check_series_output, series_output
from denoise.cli.series_parts import SeriesParts
from denoise.cli.settings import Settings
from denoise.devices import pick_device
from denoise.errors import OptionError, OutputError
from denoise.files.image_file import ImageFile
from denoise.files.outputs import refuse_existing
from denoise.files.series import Series
from denoise.metrics import Quality
from denoise.noise.interface import Noise
from denoise.options import OWN_MODEL
from denoise.presets import PRESETS
from denoise.results import DenoiseResult, Progress
from denoise.vae.learned import LearnedVAE
from denoise.vae.saved import load_models, save_models

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
    _check_possible(series, job, settings)
    with named(job.input_name):
        models: tuple[LearnedVAE, ...] = ()
        if job.load_model is not None:
            models = load_models(job.load_model, pick_device(settings.device))
        channels = [
            channel_model(series, channel, job, settings, models, on_progress)
            for channel in range(series.channels)
        ]
    done = _Done()
    images = partial(_denoised, series, channels, job, settings, done, on_progress)
    if job.shard is not None:
        assert job.output is not None
        parts = SeriesParts(job.output, series)
        parts.agree(channels, settings)
        mine = set(job.shard.part(range(len(series))))
        for number, _, denoised, _ in images(sorted(mine.intersection(parts.missing()))):
            parts.write(number, denoised)
        left = len(parts.missing())
        if left:
            done.note(f"{left} of {len(series)} images are not done yet by this or other parts")
        else:
            with series_output(job, series, settings) as write:
                parts.join(lambda image: write(image, image, None))
            parts.remove()
    else:
        with series_output(job, series, settings) as write:
            for _, noisy, denoised, result in images(range(len(series))):
                write(noisy, denoised, result)
        if job.save_model is not None:
            if not settings.may_replace:
                refuse_existing([job.save_model])
            save_models(job.save_model, channels[0].models)
    report = _report(series, channels, job, settings)
    return done.reported(report, time.perf_counter() - started)


def _denoised(
    series: Series,
    channels: Sequence[ChannelModel],
    job: FileJob,
    settings: Settings,
    done: _Done,
    on_progress: Callable[[Progress], None],
    numbers: Sequence[int],
) -> Iterator[tuple[int, ImageFile, ImageFile, DenoiseResult | None]]:
    """Some images of a series, from 0: number, noisy, denoised, and what the method made of it."""
    for count, number in enumerate(numbers, start=1):
        channel = channels[series.channel_of(number)]
        opened = open_image(series.read(number), job, replace(channel.settings, frame=number + 1))
        result = None
        if opened.seen.to_remove is not None:
            with named(str(opened.noisy.path)):
                result = channel.denoise(opened.seen)
        denoised = opened.denoised(result, settings.strength)
        yield number, opened.noisy, denoised, result
        done.add(opened, denoised, result)
        on_progress(Progress("series", count, len(numbers)))


class _Done:
    """Adds up what there is to say of the images of a series."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}
        self._outliers, self._kind = 0, ""
        self._qualities: list[Quality] = []
        self._last: DenoiseResult | None = None
        self._noises: list[Noise | None] = []

    def add(self, opened: OpenedFile, denoised: ImageFile, result: DenoiseResult | None) -> None:
        """Count an image."""
        seen, reference = opened.seen, opened.reference
        outliers = outlier_notes(seen.outliers, seen.outlier_kind)
        self._notes.update(dict.fromkeys(note for note in opened.notes if note not in outliers))
        self._noises.append(seen.noise)
        self._outliers += seen.outliers
        self._kind = seen.outlier_kind or self._kind
        if reference is not None and (opened.noisy.picture & reference.picture).any():
            self._qualities.append(quality_of(opened.noisy, denoised, reference))
        self._last = result or self._last

    def note(self, text: str) -> None:
        """Say something of all images."""
        self._notes[text] = None

    def reported(self, report: FileReport, seconds: float) -> FileReport:
        """The report with all that was counted."""
        noises = report.noises or tuple(self._noises)
        last, notes = self._last, dict.fromkeys(report.notes) | self._notes
        more = outlier_notes(self._outliers, self._kind)
        report = replace(
            report,
            noise=noises[0],
            noises=noises,
            seconds=seconds,
            notes=(*more, *notes),
            quality=_mean(self._qualities),
        )
        if last is None:
            return report
        settings = None if last.options is None else asdict(last.options)
        return replace(report, device=last.device, settings=settings)


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
    if job.shard is not None and (job.output is None or job.extras or job.reference):
        raise OutputError(
            f"{job.input_name}: its parts are joined to one file; leave out --reference and what"
            " else is to be written"
        )
    check_series_output(job, series.first)


def _mean(qualities: Sequence[Quality]) -> Quality | None:
    if not qualities:
        return None

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(qualities) else None

    return Quality(
        psnr_noisy=fmean(one.psnr_noisy for one in qualities),
        psnr=fmean(one.psnr for one in qualities),
        ssim_noisy=mean(one.ssim_noisy for one in qualities),
        ssim=mean(one.ssim for one in qualities),
    )


def _report(
    series: Series,
    channels: Sequence[ChannelModel],
    job: FileJob,
    settings: Settings,
) -> FileReport:
    first = series.first
    height, width = first.pixels.shape[:2]
    name = settings.method.name
    is_preset = name in PRESETS
    remarks = dict.fromkeys(remark for channel in channels for remark in channel.remarks)
    return FileReport(
        job.input_name,
        job.output_name,
        "done",
        width=width,
        height=height,
        channels=first.channels,
        dtype=first.sample_type,
        images=len(series),
        axes=dict(series.axes),
        noises=() if settings.model_per_frame else tuple(channel.noise for channel in channels),
        sigma_source="given" if is_given(settings) else "estimated",
        model=OWN_MODEL if is_preset else name,
        preset=name if is_preset else None,
        seed=settings.seed,
        strength=settings.strength,
        notes=tuple(remarks),
    )
