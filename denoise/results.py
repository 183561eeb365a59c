"""What a run tells while it works and when it is done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denoise.noise.interface import Noise
from denoise.options import DenoiseOptions
from denoise.vae.learned import LearnedVAE

STAGES = ("train", "rebuild", "refine")


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes
    ----------
    stage : "train" and "rebuild", in turn for each patch size, then "refine"
    done, total : epochs, patches or passes
    patch_size : side of the model's patches, in pixels; None when refining
    elbo : mean over training patches, in nats; None but for "train"
    """

    stage: str
    done: int
    total: int
    patch_size: int | None = None
    elbo: float | None = None


@dataclass(frozen=True)
class DenoiseResult:
    """A denoised image and how it came about.

    Attributes
    ----------
    image : (height, width) or (height, width, C) float32 in the units of the input, not clipped
    noise : as given
    learned_sigma : root of the mean posterior-weighted squared error at the end of training,
        the model's own estimate of the sigma of the stabilised image; NaN if the model was
        learned before
    elbo_history : mean ELBO per training patch of each epoch, in nats, for the first patch size
    uncertainty : standard deviation of every pixel under the VAE's posterior, shaped like
        `image` in its units, or None if not asked for
    models : one learned VAE for each patch size, for other images of the same kind; their pixels
        are those of stabilised images
    seconds : time spent in each stage, "train", "rebuild" and "refine"
    device : where it ran, such as "cpu" or "cuda:0 (NVIDIA ...)"
    seed : that of the run
    options : all settings of the run
    """

    image: NDArray[np.float32]
    noise: Noise
    learned_sigma: float
    elbo_history: tuple[float, ...]
    uncertainty: NDArray[np.float32] | None
    models: tuple[LearnedVAE, ...]
    seconds: dict[str, float]
    device: str
    seed: int
    options: DenoiseOptions
