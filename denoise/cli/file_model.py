"""The model that the user chose, our own or a peer, on the pixels of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoise.cli.jobs import FileJob
from denoise.cli.settings import Settings
from denoise.devices import pick_device
from denoise.errors import ImageError
from denoise.files.image_file import ImageFile
from denoise.files.samples import PEAK
from denoise.methods.other_vaes import denoise_with_peer
from denoise.noise.interface import Noise
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

    image: NDArray[np.float32]
    device: str
    settings: dict[str, Any]
    own: DenoiseResult | None = None
    diagnostics: dict[str, float] | None = None


def run_model(
    noisy: ImageFile,
    noise: Noise,
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
        result = denoise_with_peer(
            noisy.pixels,
            noise,
            settings.peer_options(),
            seed=settings.seed,
            device=settings.device,
            on_progress=on_progress,
        )
        diagnostics = {"loss": result.stats.losses[-1], **result.stats.diagnostics}
        return ModelOutput(
            result.image, result.device, asdict(result.options), diagnostics=diagnostics
        )
    own = denoise_image(
        noisy.pixels,
        noise,
        preset=settings.preset,
        overrides=settings.overrides,
        data_range=None if noisy.is_float else PEAK,
        models=None if job.load_model is None else _load_models(job, settings, noise),
        with_uncertainty=job.uncertainty is not None,
        time_budget=time_budget,
        seed=settings.seed,
        device=settings.device,
        on_progress=on_progress,
    )
    return ModelOutput(own.image, own.device, asdict(own.options), own=own)


def _load_models(job: FileJob, settings: Settings, noise: Noise) -> tuple[LearnedVAE, ...]:
    assert job.load_model is not None
    models = load_models(job.load_model, pick_device(settings.device))
    level = noise.stabilised_sigma
    for vae in models:
        if not 1 / UNLIKE < vae.scale / level < UNLIKE:
            raise ImageError(
                f"the model was learned for noise of sigma {vae.scale:g}, this image has"
                f" {level:g}; learn one on an image like it"
            )
    return models
