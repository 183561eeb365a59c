"""One image file in, one denoised file out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from denoise.cli.earlier_results import is_whole, is_whole_extra
from denoise.cli.extras import write_extras
from denoise.cli.file_noise import is_given, observe
from denoise.cli.jobs import FileJob
from denoise.cli.mask import marked_pixels, mask_notes, with_missing
from denoise.cli.outcome import result_of, write_result
from denoise.cli.reference import quality_of, read_reference
from denoise.cli.report import FileReport
from denoise.cli.settings import Settings
from denoise.devices import pick_device
from denoise.errors import (
    DeviceError,
    ImageError,
    OptionError,
    TrainingError,
)
from denoise.files.formats import format_of_suffix, lost_metadata
from denoise.files.image_file import ImageFile
from denoise.files.images import check_writable, read_image
from denoise.files.samples import PEAK
from denoise.methods.run import Run
from denoise.noise.interface import Noise
from denoise.options import OWN_MODEL
from denoise.presets import PRESETS
from denoise.results import DenoiseResult, Progress
from denoise.vae.saved import load_models

# Seconds; a budget that is used up gets the quickest version.
LEAST_TIME = 1e-3


def denoise_file(
    job: FileJob,
    settings: Settings,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FileReport:
    """Denoise a file, write the result and measure it.

    `FileJob.check` has found no mistake. Quality is that of the pixels as written, rounded and
    clipped; for float images its peak is the range of the reference. An image in which no noise
    is found is written as it is.

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    started = time.perf_counter()
    noisy = _read(job, settings)
    kept: frozenset[Path] = frozenset()
    if settings.skip_existing:
        kept = _whole_files(job, noisy, settings)
        if job.output is not None and kept.issuperset(job.outputs):
            return FileReport(job.input_name, job.output_name, "skipped")
    if job.output is not None:
        check_writable(job.output, noisy, strip=settings.strip)
    marked = None if job.mask is None else marked_pixels(job.mask, noisy, settings)
    noisy = with_missing(noisy, marked, fill=settings.fill_missing)
    reference = None if job.reference is None else read_reference(job.reference, noisy, settings)
    try:
        notes = (*noisy.notes, *_losses(noisy, job, settings), *mask_notes(marked))
        seen = observe(noisy, settings)
        notes = (*notes, *seen.notes)
        output = _denoise(seen.image, seen.to_remove, job, settings, started, on_progress)
    except (ImageError, OptionError, DeviceError, TrainingError) as error:
        raise type(error)(f"{job.input_name}: {error}") from None
    denoised = noisy
    if output is not None or seen.outliers:
        estimate = seen.image.pixels if output is None else output.image
        denoised = result_of(noisy, estimate, settings.strength)
    quality = None
    if reference is not None and (noisy.picture & reference.picture).any():
        quality = quality_of(noisy, denoised, reference)
    # The image comes last: where it is, the job is done.
    overwrite = settings.may_replace
    if output is not None:
        missing = job.without_extras(kept)
        more = write_extras(
            missing, noisy, denoised, reference, quality, output, overwrite=overwrite
        )
        notes = (*notes, *more)
    elif job.extras:
        notes = (*notes, "no other files were written either")
    if job.output not in kept:
        write_result(job, denoised, noisy, settings)
    report = _report(job, settings, noisy, seen.noise, output)
    seconds = time.perf_counter() - started
    return replace(report, quality=quality, seconds=seconds, notes=notes)


def _read(job: FileJob, settings: Settings) -> ImageFile:
    frame, max_pixels = settings.frame, settings.max_pixels
    if job.image is not None:
        return read_image(job.image, frame=frame, max_pixels=max_pixels)
    if sys.stdin is None:
        raise ImageError("stdin: is closed; send an image")
    return read_image(sys.stdin.buffer.read(), frame=frame, max_pixels=max_pixels)


def _losses(noisy: ImageFile, job: FileJob, settings: Settings) -> tuple[str, ...]:
    """What the output cannot say about how its pixels show, unless it is not wanted."""
    if job.output is None or settings.strip:
        return ()
    return lost_metadata(format_of_suffix(job.output.suffix), noisy)


def _whole_files(job: FileJob, noisy: ImageFile, settings: Settings) -> frozenset[Path]:
    """The files of a job that are there and whole; they stay as they are."""
    whole = {path for path in job.extras if is_whole_extra(path)}
    output = job.output
    if output is not None and is_whole(output, noisy, max_pixels=settings.max_pixels):
        whole.add(output)
    return frozenset(whole)


def _denoise(
    noisy: ImageFile,
    noise: Noise | None,
    job: FileJob,
    settings: Settings,
    started: float,
    on_progress: Callable[[Progress], None],
) -> DenoiseResult | None:
    """What the method makes of the image, or None if there is nothing to do."""
    if noise is None:
        return None
    budget = settings.time_budget
    if budget is not None:
        budget = max(budget - (time.perf_counter() - started), LEAST_TIME)
    models = None
    if job.load_model is not None:
        models = load_models(job.load_model, pick_device(settings.device))
    run = Run(
        data_range=None if noisy.is_float else PEAK,
        overrides=settings.overrides,
        models=models,
        with_uncertainty=job.uncertainty is not None,
        time_budget=budget,
        seed=settings.seed,
        device=settings.device,
        on_progress=on_progress,
    )
    return settings.method.denoise(noisy.pixels, noise, run)


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
        diagnostics=output.diagnostics or None,
        settings=None if output.options is None else asdict(output.options),
    )
