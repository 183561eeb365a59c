"""The model that the user chose, our own or a peer, on the pixels of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoise.cli.file_noise import FileNoise
from denoise.cli.jobs import FileJob
from denoise.cli.settings import Settings
from denoise.devices import pick_device
from denoise.errors import ImageError
from denoise.files.image_file import ImageFile
from denoise.methods.other_vaes import denoise_with_peer
from denoise.noise.level import sigma_of_255
from denoise.noise.signal_dependent import denoise_poisson_gaussian
from denoise.pipeline import denoise_image
from denoise.results import DenoiseResult, Progress
from denoise.vae.learned import LearnedVAE
from denoise.vae.saved import load_models

# A model for noise so many times weaker or stronger is of other units.
UNLIKE = 8.0


@dataclass(frozen=True)
class ModelOutput:
    """What a model made of an image, and what it tells.

    Attributes
    ----------
    image : float, shape and units of the input, not clipped
    device : what it was computed on
    settings : all settings of the method, nested
    own : the result of our own model; None for a peer
    diagnostics : what a peer tells of its training, by name
    """

    image: NDArray[np.floating]
    device: str
    settings: dict[str, Any]
    own: DenoiseResult | None = None
    diagnostics: dict[str, float] | None = None


def run_model(
    noisy: ImageFile,
    noise: FileNoise,
    job: FileJob,
    settings: Settings,
    time_budget: float | None,
    on_progress: Callable[[Progress], None],
) -> ModelOutput:
    """Denoise the pixels of a file with the model of the settings.

    Raises
    ------
    ImageError, ModelFileError, OptionError, DeviceError, TrainingError
        As `denoise_image` and `denoise_with_peer`, and if a model to load does not fit.
    """
    if settings.is_peer:
        return _run_peer(noisy, noise, settings, on_progress)
    return _run_own(noisy, noise, job, settings, time_budget, on_progress)


def _run_own(
    noisy: ImageFile,
    noise: FileNoise,
    job: FileJob,
    settings: Settings,
    time_budget: float | None,
    on_progress: Callable[[Progress], None],
) -> ModelOutput:
    common: dict[str, Any] = {
        "models": None if job.load_model is None else _load_models(job, settings, noise),
        "with_uncertainty": job.uncertainty is not None,
        "time_budget": time_budget,
        "seed": settings.seed,
        "device": settings.device,
        "on_progress": on_progress,
    }
    if noise.sensor is not None:
        result = denoise_poisson_gaussian(
            noisy.pixels, noise.sensor, options_for=settings.options, **common
        )
    else:
        level = sigma_of_255(noise.sigma, noisy.pixels) if noisy.is_float else noise.sigma
        options = settings.options(level)
        result = denoise_image(noisy.pixels, noise.sigma, options=options, **common)
    return ModelOutput(result.image, result.device, asdict(result.options), own=result)


def _load_models(job: FileJob, settings: Settings, noise: FileNoise) -> tuple[LearnedVAE, ...]:
    assert job.load_model is not None
    models = load_models(job.load_model, pick_device(settings.device))
    level = 1.0 if noise.sensor is not None else noise.sigma
    for vae in models:
        if not 1 / UNLIKE < vae.scale / level < UNLIKE:
            raise ImageError(
                f"the model was learned for noise of sigma {vae.scale:g}, this image has"
                f" {level:g}; learn one on an image like it"
            )
    return models


def _run_peer(
    noisy: ImageFile,
    noise: FileNoise,
    settings: Settings,
    on_progress: Callable[[Progress], None],
) -> ModelOutput:
    pixels, sigma = noisy.pixels, noise.sigma
    result = denoise_with_peer(
        pixels if noise.sensor is None else noise.sensor.stabilise(pixels),
        sigma if noise.sensor is None else 1.0,
        settings.peer_options(),
        seed=settings.seed,
        device=settings.device,
        on_progress=on_progress,
    )
    image: NDArray[np.floating] = result.image
    if noise.sensor is not None:
        image = noise.sensor.restore(image)
    diagnostics = {"loss": result.stats.losses[-1], **result.stats.diagnostics}
    return ModelOutput(image, result.device, asdict(result.options), diagnostics=diagnostics)
