"""One image file in, one denoised file out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from denoise.cli.earlier_results import whole_files
from denoise.cli.extras import write_extras
from denoise.cli.jobs import ActiveJob, FileJob
from denoise.cli.large_file import denoise_large_file
from denoise.cli.opened import OpenedFile, named, open_image, open_input, run_of
from denoise.cli.outcome import write_result
from denoise.cli.pages.image_page import write_page
from denoise.cli.pages.provenance import sha256
from denoise.cli.reference import quality_of
from denoise.cli.report import FileReport, report_of
from denoise.cli.series_file import denoise_series_file
from denoise.cli.settings import Settings
from denoise.files.rows import RowImage
from denoise.files.series import Series
from denoise.pipeline.results import DenoiseResult, Progress

# Seconds that are left at least; so short a budget gets the quickest version.
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
    active = ActiveJob(job, settings, on_progress=on_progress)
    with open_input(job, settings) as noisy:
        if settings.skip_existing:
            active = replace(active, kept=whole_files(job, noisy, settings))
        if job.output is not None and active.kept.issuperset(job.outputs):
            return FileReport(job.input_name, job.output_name, "skipped")
        if isinstance(noisy, Series):
            return denoise_series_file(noisy, active)
        if isinstance(noisy, RowImage):
            return denoise_large_file(noisy, active)
    opened = open_image(noisy, job, settings)
    if settings.temporal > 0:
        note = "it is one image, which no other can help; --temporal is for files of several"
        opened = replace(opened, notes=(*opened.notes, note))
    return write_outputs(opened, denoise_opened(opened, active), active)


def denoise_opened(opened: OpenedFile, active: ActiveJob) -> DenoiseResult | None:
    """What the method makes of an image; None if there is no noise and nothing is missing.

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    image, noise = opened.seen.image, opened.seen.to_remove
    if noise is None:
        return None
    budget = active.settings.time_budget
    if budget is not None:
        budget = max(budget - active.seconds, LEAST_TIME)
    with named(active.name):
        run = replace(run_of(image, active), time_budget=budget)
        return active.settings.method.denoise(image.pixels, noise, run)


def write_outputs(
    opened: OpenedFile, result: DenoiseResult | None, active: ActiveJob
) -> FileReport:
    """Write all files of a job but those that are kept, and report.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    job, settings, missing = active.job, active.settings, active.missing
    noisy, reference, notes = opened.noisy, opened.reference, opened.notes
    before = None if job.report is None else sha256(job.image)  # the result may replace it
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
    if job.output not in active.kept:  # it comes last but its page: where it is, the job is done
        write_result(job, denoised, noisy, settings)
    report = replace(
        report_of(active, noisy, noisy.picture.shape, notes),
        noise=opened.seen.noise,
        quality=quality,
    )
    if result is not None:
        report = replace(
            report,
            learned_sigma=result.learned_sigma,
            elbo=result.elbo_history[-1] if result.elbo_history else None,
            device=result.device,
            tiles=result.tiles,
            diagnostics=result.diagnostics or None,
            settings=result.settings,
        )
    report = replace(report, seconds=active.seconds)
    if missing.report is None:
        return report
    write_page(missing, opened, denoised, result, report, input_sha256=before, overwrite=overwrite)
    return replace(report, seconds=active.seconds)
