"""One image file in, one denoised file out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from denoise.cli.earlier_results import whole_files
from denoise.cli.extras import write_extras
from denoise.cli.file_noise import is_given
from denoise.cli.jobs import FileJob
from denoise.cli.large_file import denoise_large_file
from denoise.cli.opened import OpenedFile, named, open_image, open_input
from denoise.cli.outcome import write_result
from denoise.cli.pages.image_page import write_page
from denoise.cli.pages.provenance import sha256
from denoise.cli.reference import quality_of
from denoise.cli.report import FileReport
from denoise.cli.series_file import denoise_series_file
from denoise.cli.settings import Settings
from denoise.devices import pick_device
from denoise.files.image_file import ImageFile
from denoise.files.rows import RowImage
from denoise.files.samples import PEAK
from denoise.files.series import Series
from denoise.noise.interface import Noise
from denoise.options import OWN_MODEL
from denoise.pipeline.results import DenoiseResult, Progress
from denoise.pipeline.run import Run
from denoise.presets import PRESETS
from denoise.vae.saved import load_models

# Seconds; a budget that is used up gets the quickest version.
LEAST_TIME = 1e-3


def denoise_file(
    job: FileJob,
    settings: Settings,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FileReport:
    """Denoise a file of one image, or of several, write the result and measure it.

    `FileJob.check` has found no mistake. Quality is that of the pixels as written, rounded and
    clipped; for float images its peak is the range of the reference. An image in which no noise
    is found is written as it is.

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    started = time.perf_counter()
    with open_input(job, settings) as noisy:
        kept = whole_files(job, noisy, settings) if settings.skip_existing else frozenset()
        if job.output is not None and kept.issuperset(job.outputs):
            return FileReport(job.input_name, job.output_name, "skipped")
        if isinstance(noisy, Series):
            return denoise_series_file(noisy, job, settings, started, on_progress, kept)
        if isinstance(noisy, RowImage):
            return denoise_large_file(noisy, job, settings, started, on_progress, kept)
    opened = open_image(noisy, job, settings)
    if settings.temporal > 0:
        note = "it is one image, which no other can help; --temporal is for files of several"
        opened = replace(opened, notes=(*opened.notes, note))
    result = denoise_opened(opened, job, settings, started, on_progress)
    return write_outputs(opened, result, job, settings, started, kept)


def denoise_opened(
    opened: OpenedFile,
    job: FileJob,
    settings: Settings,
    started: float,
    on_progress: Callable[[Progress], None],
) -> DenoiseResult | None:
    """What the method makes of an image; None if there is no noise and nothing is missing.

    Parameters
    ----------
    started : when the time budget began, by `time.perf_counter`

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    image, noise = opened.seen.image, opened.seen.to_remove
    if noise is None:
        return None
    budget = settings.time_budget
    if budget is not None:
        budget = max(budget - (time.perf_counter() - started), LEAST_TIME)
    with named(job.input_name):
        models = None
        if job.load_model is not None:
            models = load_models(job.load_model, pick_device(settings.device))
        run = Run(
            data_range=None if image.is_float else PEAK,
            overrides=settings.overrides,
            models=models,
            with_uncertainty=job.uncertainty is not None or job.report is not None,
            time_budget=budget,
            seed=settings.seed,
            device=settings.device,
            on_progress=on_progress,
        )
        return settings.method.denoise(image.pixels, noise, run)


def write_outputs(
    opened: OpenedFile,
    result: DenoiseResult | None,
    job: FileJob,
    settings: Settings,
    started: float,
    kept: frozenset[Path] = frozenset(),
) -> FileReport:
    """Write all files of a job but those that are `kept`, and report.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    noisy, reference, notes = opened.noisy, opened.reference, opened.notes
    before = None if job.report is None else sha256(job.image)  # the result may replace it
    missing = job.without_extras(kept)
    overwrite = settings.may_replace
    denoised = opened.denoised(result, settings.strength)
    quality = None
    if reference is not None and (noisy.picture & reference.picture).any():
        quality = quality_of(noisy, denoised, reference)
    if result is not None:
        more = write_extras(
            missing, noisy, denoised, reference, quality, result, overwrite=overwrite
        )
        notes = (*notes, *more)
    elif set(job.extras) - {job.report}:
        notes = (*notes, "no other files were written either")
    if job.output not in kept:  # it comes last but its page: where it is, the job is done
        write_result(job, denoised, noisy, settings)
    report = _report(job, settings, noisy, opened.seen.noise, result)
    report = replace(report, quality=quality, notes=notes, seconds=time.perf_counter() - started)
    if missing.report is None:
        return report
    write_page(missing, opened, denoised, result, report, input_sha256=before, overwrite=overwrite)
    return replace(report, seconds=time.perf_counter() - started)


def _report(
    job: FileJob,
    settings: Settings,
    noisy: ImageFile,
    noise: Noise | None,
    output: DenoiseResult | None,
) -> FileReport:
    height, width = noisy.pixels.shape[:2]
    name = settings.method.name
    is_preset = name in PRESETS
    report = FileReport(
        job.input_name,
        job.output_name,
        "done",
        width=width,
        height=height,
        channels=noisy.channels,
        dtype=noisy.sample_type,
        noise=noise,
        sigma_source="given" if is_given(settings) else "estimated",
        model=OWN_MODEL if is_preset else name,
        preset=name if is_preset else None,
        seed=settings.seed,
        strength=settings.strength,
    )
    if output is None:
        return report
    return replace(
        report,
        learned_sigma=output.learned_sigma,
        elbo=output.elbo_history[-1] if output.elbo_history else None,
        device=output.device,
        tiles=output.tiles,
        diagnostics=output.diagnostics or None,
        settings=output.settings,
    )
