"""The whole method on one screen: noisy array in, denoised array and its provenance out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from denoise.budget import fit_to_time
from denoise.devices import describe_device, out_of_memory_reported, pick_device
from denoise.errors import OptionError
from denoise.kernels.loops import one_thread_per_operation
from denoise.noise.interface import Noise
from denoise.noise.white import WhiteImage
from denoise.options import DenoiseOptions
from denoise.patches import PatchGrid
from denoise.presets import DEFAULT_PRESET, NO_OVERRIDES, Overrides, preset_for
from denoise.refinement.holes import fill_holes
from denoise.refinement.refine import pass_count, refine_image
from denoise.results import Clock, DenoiseResult, Progress
from denoise.vae.learned import (
    LearnedVAE,
    apply_vae,
    check_models,
    for_another_image,
    learn_vae,
)
from denoise.vae.reconstruction import Reconstruction, averaged
from denoise.vae.training import EpochStats


@out_of_memory_reported()
def denoise_image(
    image: ArrayLike,
    noise: float | Noise,
    *,
    preset: str = DEFAULT_PRESET,
    overrides: Overrides = NO_OVERRIDES,
    options: DenoiseOptions | None = None,
    data_range: float | None = None,
    models: Sequence[LearnedVAE] | None = None,
    with_uncertainty: bool = False,
    time_budget: float | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> DenoiseResult:
    """Denoise one image with a binary-latent VAE trained on its own patches.

    Parameters
    ----------
    image : (height, width) or (height, width, C) real numbers of any range; NaN marks a
        missing value, which is filled in, holes from their border inwards; values more than a
        thousand sigma outside the range of the others are kept as they are
    noise : in the units of `image`; a number is the standard deviation of white Gaussian noise, 0
        for an image without noise, of which only the missing values are filled in.
        Other noise is made white first (`Noise.stabilise`)
    preset : "fast", "balanced", "best" or "paper"; it has settings for weak and for strong noise,
        as seen beside the range of the data
    overrides : settings to have instead of the preset's own
    options : all settings, instead of a preset
    data_range : largest difference in the clean image, 255 for values from 0 to 255; None means
        255 for uint8 and, for other arrays, what shows in the values. An image that has to be
        stabilised has another range, which is always found in this way
    models : learned on another image with as many channels (`DenoiseResult.models`), to be used
        instead of learning; their pixel units must be those of `image`, stabilised
    with_uncertainty : also compute the posterior standard deviation of every pixel; where noise
        is correlated, so are errors, and it comes out too small by up to 1.4 times
    time_budget : seconds; the schedule of `options` is shortened or extended to fit, as fast as
        this machine is at the moment (`DenoiseResult.options` has what was chosen)
    seed : same seed, device and versions give the same result, on a CPU with any number of threads
        (except for decoder "mlp")
    device : "auto" (a CUDA GPU if there is one), "cpu", "cuda", "cuda:N" or "mps"
    on_progress : called after each epoch and each chunk of patches

    Returns
    -------
    DenoiseResult

    Raises
    ------
    ImageError
        If the array is no image, smaller than a patch, infinite somewhere or missing everywhere,
        or if it is unlike those that `models` were learned on.
    OptionError
        If no image like this one can have such noise, or a model is on another device.
    DeviceError
        If the device is not available, or out of memory.
    TrainingError
        If the ELBO leaves the finite numbers.

    References
    ----------
    Drefs, Guiraud, Panagiotou, Lücke: Direct Evolutionary Optimization of Variational
    Autoencoders with Binary Latents. ECML PKDD 2022, arXiv 2011.13704.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(128, 25, size=(32, 32))
    >>> denoise_image(noisy, 25).image.shape
    (32, 32)
    """
    white = WhiteImage.of(image, noise, data_range)
    options = options or preset_for(preset, white.sigma, white.data_range, overrides)
    if time_budget is not None and not 0 < time_budget < math.inf:
        raise OptionError(f"time_budget must be positive seconds, got {time_budget}")
    compute_device = pick_device(device)
    with same_bytes(options, compute_device):
        if time_budget is not None:
            options = fit_to_time(
                options,
                on_device(white, compute_device),
                white.sigma,
                time_budget,
                noisy=white.noise.stabilised_sigma > 0,
                models=models,
                with_variance=with_uncertainty,
            )
        run = _Run(options, models, with_uncertainty, seed, compute_device, on_progress)
        clean, uncertainty, used = run.denoise(white)
        # What is to take a given time, or to use a given model, is done in one go.
        second = white.second_look(clean) if time_budget is None and models is None else None
        if second is not None:
            clean, _, _ = run.denoise(second)

    history = used[0].history if models is None else ()
    return DenoiseResult(
        image=clean,
        noise=white.noise,
        learned_sigma=used[0].residual_sigma if history else None,
        elbo_history=tuple(stats.elbo for stats in history),
        uncertainty=uncertainty,
        models=tuple(used),
        seconds=run.clock.seconds,
        device=describe_device(compute_device),
        seed=seed,
        options=options,
    )


def same_bytes(options: DenoiseOptions, device: torch.device) -> AbstractContextManager[object]:
    """Let rounding not depend on the number of threads.

    torch splits sums and products over its threads. The amplitude model spends little time in them:
    its loops share out pieces of work instead. The networks of the MLP model would wait.
    """
    alone = device.type == "cpu" and options.model.decoder != "mlp"
    return one_thread_per_operation() if alone else nullcontext()


@dataclass(frozen=True)
class _Run:
    """What stays the same when an image is denoised more than once; see `denoise_image`."""

    options: DenoiseOptions
    models: Sequence[LearnedVAE] | None
    with_uncertainty: bool
    seed: int
    device: torch.device
    on_progress: Callable[[Progress], None]
    clock: Clock = field(default_factory=Clock)

    def denoise(
        self, white: WhiteImage
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None, list[LearnedVAE]]:
        """Learn, rebuild and refine.

        Returns
        -------
        image, uncertainty : in the shape and units of the image as it was given
        models : one for each patch size
        """
        noisy = on_device(white, self.device)
        if self.models is not None:
            check_models(self.models, noisy, white.sigma)
        rebuilt: list[Reconstruction] = []
        used: list[LearnedVAE] = []
        # One model at a time: the states of its training patches take the most memory.
        for vae in _models(
            noisy, white.sigma, self.options, self.models, self.seed, self.on_progress
        ):
            self.clock.lap("train")
            rebuilt.append(
                apply_vae(
                    vae,
                    noisy,
                    options=self.options,
                    seed=self.seed,
                    with_variance=self.with_uncertainty,
                    on_patches=_report_rebuilding(vae, noisy, self.options, self.on_progress),
                )
            )
            used.append(for_another_image(vae, vae.sigma))
            self.clock.lap("rebuild")
        pilot = averaged(rebuilt)
        denoised = self._refined(white, noisy, pilot.image, used[0].sigma)
        deviations = None if pilot.variance is None else pilot.variance.sqrt().cpu().numpy()
        clean, uncertainty = white.restored(denoised.cpu().numpy(), deviations)  # waits for a GPU
        self.clock.lap("refine")
        return clean, uncertainty, used

    def _refined(self, white: WhiteImage, noisy: Tensor, pilot: Tensor, sigma: float) -> Tensor:
        """The non-local stages; without options the pilot itself."""
        options = self.options.refinement
        if options is None:
            return pilot
        noise, missing = white.noise.stabilised_sigma, noisy.isnan()
        filling = options.hole_passes if missing.any() else 0
        denoising = pass_count(options) if noise > 0 else 0

        def report(done: int) -> None:
            self.on_progress(Progress("refine", done, filling + denoising))

        pilot = pilot.to(noisy.dtype)
        if filling:
            noisy = fill_holes(
                *(noisy, pilot, options),
                sigma=noise,
                data_range=white.data_range,
                on_pass=report,
            )
            pilot = torch.where(missing, noisy, pilot)
        if not denoising:
            return pilot
        refined = refine_image(
            noisy / sigma,
            pilot / sigma,
            options,
            on_pass=lambda done: report(filling + done),
        )
        return refined.to(noisy.dtype) * sigma


def on_device(white: WhiteImage, device: torch.device) -> Tensor:
    """The pixels (height, width, C)."""
    return torch.as_tensor(white.pixels, dtype=_float_type(device), device=device)


def _models(
    noisy: Tensor,
    sigma: float,
    options: DenoiseOptions,
    learned: Sequence[LearnedVAE] | None,
    seed: int,
    on_progress: Callable[[Progress], None],
) -> Iterator[LearnedVAE]:
    """The VAEs that came with the call or, for each patch size, a new one."""
    if learned is not None:
        yield from (for_another_image(vae, sigma) for vae in learned)
        return
    for size in options.model.patch_sizes:

        def report(stats: EpochStats, size: int = size) -> None:
            on_progress(
                Progress("train", stats.epoch, options.training.epochs, size, elbo=stats.elbo)
            )

        yield learn_vae(noisy, sigma, size, options=options, seed=seed, on_epoch=report)


def _report_rebuilding(
    vae: LearnedVAE,
    noisy: Tensor,
    options: DenoiseOptions,
    on_progress: Callable[[Progress], None],
) -> Callable[[int], None]:
    size = vae.patch_size
    total = len(PatchGrid.of(noisy, size).every(options.inference.stride))
    return lambda done: on_progress(Progress("rebuild", done, total, size))


def _float_type(device: torch.device) -> torch.dtype:
    """float64 until pixels have been divided by sigma; MPS has none."""
    return torch.float32 if device.type == "mps" else torch.float64
