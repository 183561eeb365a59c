"""One image file in, one denoised file out."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise import __version__
from denoise.devices import pick_device
from denoise.errors import ImageError, OutputError
from denoise.figures import captioned_panels, draw_models, side_by_side
from denoise.formats.image_file import ImageFile, quantised, to_pixels
from denoise.images import IMAGE_SUFFIXES, check_writable, read_image, write_image
from denoise.metrics import psnr, ssim
from denoise.model_files import MODEL_SUFFIXES, load_models, save_models
from denoise.options import DenoiseOptions
from denoise.outputs import check_output, write_atomically
from denoise.pipeline import denoise_image
from denoise.report import FileReport, Quality
from denoise.results import DenoiseResult, Progress

# Seconds; a budget that is used up gets the quickest version.
LEAST_TIME = 1e-3


def default_output(path: Path) -> Path:
    """The name next to the input: `noisy.png` -> `noisy_denoised.png`."""
    return path.with_name(f"{path.stem}_denoised{path.suffix}")


@dataclass(frozen=True)
class FileJob:
    """The files of one run.

    Attributes
    ----------
    image : what to denoise
    output : where to write the result
    reference : clean image of the same size, to measure PSNR and SSIM
    figure : also write noisy, denoised and reference side by side
    uncertainty : also write the posterior standard deviation of every pixel; .npy holds gray
        levels, an image format a picture of them, white for the largest
    load_model : use the models in this file instead of learning
    save_model : also write the models
    show_model : also draw the models
    overwrite : replace files that exist
    frame : which page or frame of several to read, from 1
    max_pixels : refuse larger images; by default Pillow's limit
    strip : leave out all metadata, colour profile and orientation included
    fill_missing : pixels that are NaN or infinite are missing and get filled in, which is
        otherwise an error
    """

    image: Path
    output: Path
    reference: Path | None = None
    figure: Path | None = None
    uncertainty: Path | None = None
    load_model: Path | None = None
    save_model: Path | None = None
    show_model: Path | None = None
    overwrite: bool = False
    frame: int | None = None
    max_pixels: int | None = None
    strip: bool = False
    fill_missing: bool = False

    def check_outputs(self) -> None:
        """Raise an OutputError if a file cannot be written, or is also another file of the job."""
        outputs = (
            (self.output, IMAGE_SUFFIXES),
            (self.figure, IMAGE_SUFFIXES),
            (self.uncertainty, (".npy", *IMAGE_SUFFIXES)),
            (self.save_model, MODEL_SUFFIXES),
            (self.show_model, IMAGE_SUFFIXES),
        )
        inputs = (self.image, self.reference, self.load_model)
        taken = {path.resolve() for path in inputs if path is not None}
        taken.discard(self.output.resolve())  # the image itself may be replaced, if told so
        for path, suffixes in outputs:
            if path is None:
                continue
            check_output(path, suffixes, overwrite=self.overwrite)
            if path.resolve() in taken:
                raise OutputError(f"{path}: is named twice; give each file its own name")
            taken.add(path.resolve())


def denoise_file(
    job: FileJob,
    sigma: float,
    *,
    options: DenoiseOptions,
    preset_name: str,
    seed: int,
    device: str,
    time_budget: float | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FileReport:
    """Denoise a file, write the result and measure it.

    All that can be checked is checked before the work starts. Quality is that of
    the pixels as written, rounded and clipped; for float images its peak is the range of the
    reference.

    Parameters
    ----------
    sigma : standard deviation of the noise, on the 0..255 scale or, of float images, in their
        own units
    time_budget : seconds that all of this may take

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    started = time.perf_counter()
    noisy = read_image(job.image, frame=job.frame, max_pixels=job.max_pixels)
    job.check_outputs()
    check_writable(job.output, noisy, strip=job.strip)
    noisy = replace(noisy, pixels=_observed(noisy, job.fill_missing))
    reference = None if job.reference is None else _read_reference(job, noisy)
    models = None if job.load_model is None else load_models(job.load_model, pick_device(device))
    try:
        result = denoise_image(
            noisy.pixels,
            sigma,
            options=options,
            models=models,
            with_uncertainty=job.uncertainty is not None,
            time_budget=None
            if time_budget is None
            else max(time_budget - (time.perf_counter() - started), LEAST_TIME),
            seed=seed,
            device=device,
            on_progress=on_progress,
        )
    except ImageError as error:
        raise ImageError(f"{job.image}: {error}") from None
    denoised = replace(noisy, pixels=to_pixels(quantised(result.image, noisy.sample_type)))
    write_image(job.output, denoised.pixels, like=noisy, strip=job.strip, overwrite=job.overwrite)
    quality = None if reference is None else _quality(noisy, denoised, reference)
    _write_extras(job, noisy, denoised, reference, quality, result)
    height, width = noisy.pixels.shape[:2]
    return FileReport(
        input=str(job.image),
        output=str(job.output),
        width=width,
        height=height,
        channels=noisy.channels,
        device=result.device,
        preset=preset_name,
        seed=seed,
        sigma=sigma,
        learned_sigma=result.learned_sigma,
        elbo=result.elbo_history[-1] if result.elbo_history else math.nan,
        seconds=time.perf_counter() - started,
        version=__version__,
        notes=noisy.notes,
        quality=quality,
    )


def _write_extras(
    job: FileJob,
    noisy: ImageFile,
    denoised: ImageFile,
    reference: ImageFile | None,
    quality: Quality | None,
    result: DenoiseResult,
) -> None:
    """Write what was asked for besides the image."""
    if job.figure is not None:
        figure = side_by_side(captioned_panels(noisy, denoised, reference, quality))
        write_image(job.figure, figure, overwrite=job.overwrite)
    if job.uncertainty is not None and result.uncertainty is not None:
        _write_uncertainty(job.uncertainty, result.uncertainty, overwrite=job.overwrite)
    if job.save_model is not None:
        save_models(job.save_model, result.models)
    if job.show_model is not None:
        write_image(job.show_model, draw_models(result.models), overwrite=job.overwrite)


def _write_uncertainty(path: Path, uncertainty: NDArray[np.float32], *, overwrite: bool) -> None:
    if path.suffix.lower() == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, uncertainty)
        write_atomically(path, buffer.getvalue())
    else:
        scale = 255 / max(float(uncertainty.max()), 1e-6)
        write_image(path, uncertainty * scale, overwrite=overwrite)


def _observed(noisy: ImageFile, fill_missing: bool) -> NDArray[np.float32]:
    """The pixels, NaN where they are missing."""
    missing = noisy.find_non_finite()
    if missing is None:
        return noisy.pixels
    if not fill_missing:
        raise ImageError(
            f"{noisy.path}: {missing.count} pixels are not finite (first at row {missing.row},"
            f" column {missing.column}); use --fill-missing"
        )
    return np.where(np.isfinite(noisy.pixels), noisy.pixels, np.float32(np.nan))


def _read_reference(job: FileJob, noisy: ImageFile) -> ImageFile:
    path = job.reference
    assert path is not None
    reference = read_image(path, max_pixels=job.max_pixels)
    if reference.is_float != noisy.is_float:
        raise ImageError(
            f"{path}: the reference holds {reference.sample_type} pixels, but {noisy.path}"
            f" {noisy.sample_type}; give both as integers or both as floats"
        )
    if reference.data_range == 0:
        raise ImageError(f"{path}: the reference is the same everywhere, PSNR needs a range")
    if reference.pixels.shape != noisy.pixels.shape:
        raise ImageError(
            f"{path}: the reference is {reference.description}, but {noisy.path} is"
            f" {noisy.description}; give the clean version of the same image"
        )
    return reference


def _quality(noisy: ImageFile, denoised: ImageFile, reference: ImageFile) -> Quality:
    clean, peak = reference.pixels, reference.data_range
    return Quality(
        psnr_noisy=psnr(clean, noisy.pixels, peak),
        psnr=psnr(clean, denoised.pixels, peak),
        ssim_noisy=ssim(clean, noisy.pixels, peak),
        ssim=ssim(clean, denoised.pixels, peak),
    )
