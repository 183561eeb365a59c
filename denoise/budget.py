"""Fitting a run into a given time: time this machine on a few patches, scale the schedule."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from denoise.options import DenoiseOptions
from denoise.refinement import pass_count, refine_image
from denoise.vae import apply_vae, learn_vae

# The preset's amount of learning is multiplied by these, largest first.
SCALES = (4.0, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)
# Below these, one patch size only, fewer refinement passes, no low-rank passes.
ONE_SIZE_BELOW, SHORTER_BELOW, NO_LOW_RANK_BELOW = 0.6, 0.4, 0.2
# Nothing that deserves the name of learning takes less than this.
LEAST_EPOCHS, LEAST_PATCHES = 3, 4096
# Share of the time that is planned with; the rest is for surprises.
SAFETY = 0.8
TRIAL_PATCHES = 4096
TRIAL_SIDE = 64


@dataclass(frozen=True)
class Speed:
    """Seconds that this machine takes for a patch in an epoch, a patch rebuilt, a pixel refined."""

    training: float
    rebuilding: float
    refining: float

    def predict(self, options: DenoiseOptions, pixels: int) -> float:
        """Seconds of a whole run."""
        models, training = len(options.model.patch_sizes), options.training
        patches = min(training.patch_budget, pixels) * training.epochs
        seconds = models * (patches * self.training + pixels * self.rebuilding)
        if options.refinement is not None:
            seconds += pixels * pass_count(options.refinement, channels=1) * self.refining
        return seconds


def fit_to_time(
    options: DenoiseOptions, image: Tensor, sigma: float, seconds: float, *, learning: bool
) -> DenoiseOptions:
    """The most thorough version of `options` that should take at most `seconds`.

    It always learns something; for a time that is too short even for that, the quickest
    version is returned. What is chosen depends on how fast the machine is at the moment.

    Parameters
    ----------
    image : (height, width, C) float, to be denoised
    learning : whether a model has to be learned, or comes learned
    """
    started = time.perf_counter()
    speed = _measure(options, image, sigma)
    if not learning:
        speed = replace(speed, training=0.0)
    left = SAFETY * (seconds - (time.perf_counter() - started))
    pixels = image.shape[0] * image.shape[1]
    versions = [scaled(options, scale) for scale in SCALES]
    fitting = [one for one in versions if speed.predict(one, pixels) <= left]
    return fitting[0] if fitting else versions[-1]


def scaled(options: DenoiseOptions, scale: float) -> DenoiseOptions:
    """`options` with about `scale` times the work."""
    model, training, refinement = options.model, options.training, options.refinement
    epochs = round(training.epochs * scale)
    patches = training.patch_budget
    if epochs < LEAST_EPOCHS:
        patches = max(round(patches * scale * training.epochs / LEAST_EPOCHS), LEAST_PATCHES)
        epochs = LEAST_EPOCHS
    training = replace(
        training,
        epochs=epochs,
        patch_budget=min(patches, training.patch_budget),
        batch_size=min(training.batch_size, max(patches // 8, 1)),
    )
    if scale < ONE_SIZE_BELOW:
        sizes = model.patch_sizes
        model = replace(model, patch_sizes=(sizes[len(sizes) // 2],))
    if refinement is not None and scale < SHORTER_BELOW:
        feedback = () if scale < NO_LOW_RANK_BELOW else refinement.feedback[:3]
        refinement = replace(refinement, rounds=1, feedback=feedback)
    return replace(options, model=model, training=training, refinement=refinement)


def _measure(options: DenoiseOptions, image: Tensor, sigma: float) -> Speed:
    """Time a short run on a corner of the image."""
    corner = image[:TRIAL_SIDE, :TRIAL_SIDE]
    size = options.model.patch_sizes[-1]
    short = replace(
        options, training=replace(options.training, epochs=2, patch_budget=TRIAL_PATCHES)
    )
    patches = (corner.shape[0] - size + 1) * (corner.shape[1] - size + 1)
    learn_vae(corner, sigma, size, options=short, seed=0, on_epoch=lambda _: None)  # warms up
    ends: list[float] = []
    vae = learn_vae(
        corner, sigma, size, options=short, seed=0, on_epoch=lambda _: ends.append(_now(image))
    )
    started = _now(image)
    pilot = apply_vae(
        vae, corner, options=short, seed=0, with_variance=False, on_patches=lambda _: None
    )
    rebuilt = _now(image)
    refining = 0.0
    if options.refinement is not None:
        noisy = corner.to(torch.float32)
        refine_image(
            noisy,
            pilot.image.to(torch.float32),
            sigma,
            options.refinement,
            on_pass=lambda _: None,
        )
        passes = pass_count(options.refinement, channels=1)
        refining = (_now(image) - rebuilt) / passes / noisy[..., 0].numel()
    return Speed((ends[1] - ends[0]) / patches, (rebuilt - started) / patches, refining)


def _now(image: Tensor) -> float:
    """Time when all work on the image's device is done."""
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    return time.perf_counter()
