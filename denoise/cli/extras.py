"""The files that a job can write besides the image: figure, curve, residual, model and others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise.cli.jobs import FileJob
from denoise.cli.residual import write_residual
from denoise.files.formats import holds_floats
from denoise.files.image_file import ImageFile
from denoise.files.images import write_image, write_values
from denoise.files.outputs import refuse_existing, write_atomically
from denoise.metrics import Quality
from denoise.pictures.comparison import comparison, curve_table, draw_curves
from denoise.pictures.models import draw_models
from denoise.pictures.views import uncertainty_view
from denoise.pipeline.results import DenoiseResult
from denoise.vae.saved import save_models


def write_extras(
    job: FileJob,
    noisy: ImageFile,
    denoised: ImageFile,
    reference: ImageFile | None,
    quality: Quality | None,
    result: DenoiseResult | None,
    *,
    overwrite: bool,
) -> tuple[str, ...]:
    """Write what the job asks for besides the image; returns notes on how to read it.

    Parameters
    ----------
    result : None if there was nothing to remove, and nothing to write but figure and residual

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    if not overwrite:
        refuse_existing(job.extras)  # that have appeared since the job was checked
    if job.figure is not None:
        figure = comparison(noisy, denoised, reference, quality)
        write_image(job.figure, figure, overwrite=overwrite)
    notes: tuple[str, ...] = ()
    if job.residual is not None:
        notes = write_residual(job.residual, noisy, denoised, overwrite=overwrite)
    if result is None:
        return notes
    if job.curve is not None:
        _write_curve(job.curve, result, overwrite=overwrite)
    if job.uncertainty is not None and result.uncertainty is not None:
        _write_uncertainty(job.uncertainty, result.uncertainty, overwrite=overwrite)
    if job.save_model is not None:
        save_models(job.save_model, result.models)
    if job.show_model is not None:
        write_image(job.show_model, draw_models(result), overwrite=overwrite)
    return notes


def _write_curve(path: Path, result: DenoiseResult, *, overwrite: bool) -> None:
    if path.suffix.lower() == ".csv":
        write_atomically(path, curve_table(result.models).encode())
    else:
        write_image(path, draw_curves(result.models), overwrite=overwrite)


def _write_uncertainty(path: Path, uncertainty: NDArray[np.float32], *, overwrite: bool) -> None:
    if holds_floats(path):
        write_values(path, uncertainty, overwrite=overwrite)
    else:
        write_image(path, uncertainty_view(uncertainty), overwrite=overwrite)
