"""Fitting a run into a given time: time this machine on a few patches, scale the schedule."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from denoise.options import DenoiseOptions, RefinementOptions
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.refinement.holes import near_holes
from denoise.refinement.refine import pass_count, refine_image
from denoise.vae.learned import LearnedVAE, apply_vae, for_another_image, learn_vae

# The preset's amount of learning is multiplied by these, largest first.
SCALES = (4.0, 3.0, 2.0, 1.4, 1.2, 1.0, 0.85, 0.7, 0.6, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)
# Below these multiples, there is one patch size only, half of the refinement's passes, one pass.
ONE_SIZE_BELOW, SHORTER_BELOW, ONE_PASS_BELOW = 0.6, 0.4, 0.07
# Learning needs at least this much.
LEAST_EPOCHS, LEAST_PATCHES = 3, 4096
# Share of the time that is planned for; the rest absorbs errors of the prediction.
SAFETY = 0.9
# Sides of the parts of the image that are timed, in pixels: a large one is more like the whole
# image, a small one leaves more of a short time.
LARGE_SIDE, SMALL_SIDE, SHORT_TIME = 128, 64, 12.0
# Side of the part on which compiled loops are loaded and caches warmed before anything is timed.
WARM_SIDE = 20


@dataclass(frozen=True)
class Speed:
    """Seconds for a patch in an epoch, a patch rebuilt, and a pixel refined by a pass."""

    training: float
    rebuilding: float
    refining: float

    def predict(
        self,
        options: DenoiseOptions,
        pixels: int,
        holes: float = 0.0,
        *,
        noisy: bool = True,
        channels: int = 1,
    ) -> float:
        """Seconds of a whole run on this many pixels.

        Parameters
        ----------
        holes : share of the pixels that lie near missing ones
        noisy : whether there is noise; without it, only missing pixels are filled in
        channels : that have models of their own
        """
        sizes, training = len(options.model.patch_sizes), options.training
        patches = channels * min(training.patch_budget, pixels // channels) * training.epochs
        seconds = sizes * (patches * self.training + pixels * self.rebuilding)
        if options.refinement is not None:
            passes: float = pass_count(options.refinement) if noisy else 0
            passes += holes * options.refinement.hole_passes
            seconds += pixels * passes * self.refining
        return seconds


def fit_to_time(
    options: DenoiseOptions,
    image: Tensor,
    sigma: float,
    seconds: float,
    *,
    noisy: bool = True,
    run: Run = DEFAULT_RUN,
) -> DenoiseOptions:
    """The most thorough version of `options` that should take at most `seconds`.

    It always learns something; for a time that is too short even for that, the quickest
    version is returned. What is chosen depends on how fast the machine is at the moment.

    Parameters
    ----------
    image : (height, width, C) float, to be denoised
    noisy : whether there is noise; without it, only missing pixels are filled in
    run : its models are used instead of learning, and the uncertainty may be wanted, too
    """
    started = time.perf_counter()
    side = SMALL_SIDE if seconds < SHORT_TIME else LARGE_SIDE
    speed = measure_speed(options, image, sigma, side=side, run=run)
    left = SAFETY * (seconds - (time.perf_counter() - started))
    pixels = image.shape[0] * image.shape[1]
    versions = [scaled(options, scale) for scale in SCALES]
    holes = share_near_holes(image)
    fitting = [one for one in versions if speed.predict(one, pixels, holes, noisy=noisy) <= left]
    return fitting[0] if fitting else versions[-1]


def share_near_holes(image: Tensor) -> float:
    """The share of an image (height, width, C) near missing values, which takes more passes."""
    return float((near_holes(image) > 0).float().mean())


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
        passes = max(round(refinement.hole_passes * scale), 1)
        kept = _every_second(refinement)
        refinement = replace(refinement, noise_kept=kept, hole_passes=passes)
    if refinement is not None and scale < ONE_PASS_BELOW:
        kept = refinement.noise_kept[-1:]
        refinement = replace(refinement, noise_kept=kept, last_patch_sizes=())
    return replace(options, model=model, training=training, refinement=refinement)


def _every_second(refinement: RefinementOptions) -> tuple[float, ...]:
    """Half the passes, the last one among them."""
    return refinement.noise_kept[::-2][::-1]


def measure_speed(
    options: DenoiseOptions,
    image: Tensor,
    sigma: float,
    *,
    side: int = SMALL_SIDE,
    run: Run = DEFAULT_RUN,
) -> Speed:
    """Time a short run on a part of the image; other parameters are those of `fit_to_time`.

    Parameters
    ----------
    side : of the part, in pixels
    """
    for length in sorted({WARM_SIDE, side}):
        part = _centre(image, length)
        if part.isnan().all():
            part = part.nan_to_num()
        speed = _speed_on(part, options, sigma, run)
    return speed


def _speed_on(part: Tensor, options: DenoiseOptions, sigma: float, run: Run) -> Speed:
    ends: list[float] = []
    if run.models is None:
        vae = _trial_model(options, part, sigma, ends)
    else:
        vae = for_another_image(run.models[-1], sigma)
    size = vae.patch_size
    patches = (part.shape[0] - size + 1) * (part.shape[1] - size + 1)
    started = _now(part)
    apply_vae(
        vae,
        part,
        options=options,
        seed=0,
        with_variance=run.with_uncertainty,
        on_patches=lambda _: None,
    )
    rebuilding = (_now(part) - started) / patches
    training = (ends[-1] - ends[-2]) / patches if ends else 0.0
    return Speed(training, rebuilding, _time_of_refining(options, part, sigma))


def _trial_model(
    options: DenoiseOptions, part: Tensor, sigma: float, ends: list[float]
) -> LearnedVAE:
    """Learn for an epoch to warm up and one to be timed; `ends` gets the time after each."""
    short = replace(options.training, epochs=2, patch_budget=part[..., 0].numel())
    return learn_vae(
        [part],
        sigma,
        options.model.patch_sizes[-1],
        options=replace(options, training=short),
        seed=0,
        on_epoch=lambda _: ends.append(_now(part)),
    )


def _time_of_refining(options: DenoiseOptions, part: Tensor, sigma: float) -> float:
    """Seconds of a pass per pixel."""
    if options.refinement is None:
        return 0.0
    part = (part.nan_to_num() / sigma).to(torch.float32)
    # This many passes lie between two searches for similar patches.
    kept = (0.0,) * min(options.refinement.passes_per_match, len(options.refinement.noise_kept))
    short = replace(options.refinement, wiener_passes=0, noise_kept=kept, last_patch_sizes=())
    started = _now(part)
    refine_image(part, part, short, on_pass=lambda _: None)
    return (_now(part) - started) / pass_count(short) / part[..., 0].numel()


def _centre(image: Tensor, side: int) -> Tensor:
    """The middle of an image: it is more often like the whole than a corner, which may be sky."""
    top, left = ((length - min(side, length)) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def _now(image: Tensor) -> float:
    """Time when all work on the image's device is done."""
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    elif image.device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
