"""The stages of a run on one device: learn, rebuild, refine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoise.devices import describe_device
from denoise.kernels.loops import one_thread_per_operation
from denoise.noise.interface import Noise
from denoise.noise.white import WhiteImage
from denoise.options import DenoiseOptions
from denoise.patches import PatchGrid, Place
from denoise.pipeline.results import Clock, DenoiseResult, Progress
from denoise.pipeline.run import Run
from denoise.refinement.holes import fill_holes
from denoise.refinement.refine import pass_count, refine_image
from denoise.vae.learned import (
    LearnedVAE,
    apply_vae,
    check_models,
    for_another_image,
    learn_vae,
)
from denoise.vae.reconstruction import Reconstruction, averaged
from denoise.vae.training import EpochStats


def same_bytes(options: DenoiseOptions, device: torch.device) -> AbstractContextManager[object]:
    """Let rounding not depend on the number of threads.

    torch splits sums and products over its threads. The amplitude model spends little time in them:
    its loops share out pieces of work instead. The networks of the MLP model would wait.
    """
    alone = device.type == "cpu" and options.model.decoder != "mlp"
    return one_thread_per_operation() if alone else nullcontext()


@dataclass(frozen=True)
class Stages:
    """What stays the same from image to image."""

    options: DenoiseOptions
    run: Run
    device: torch.device
    clock: Clock = field(default_factory=Clock)

    def learn(self, images: Sequence[Tensor], sigma: float) -> Iterator[LearnedVAE]:
        """A VAE for each patch size, learned on images (height, width, C) of one kind."""
        options = self.options
        for size in options.model.patch_sizes:

            def report(stats: EpochStats, size: int = size) -> None:
                self.run.on_progress(
                    Progress("train", stats.epoch, options.training.epochs, size, elbo=stats.elbo)
                )

            yield learn_vae(
                images, sigma, size, options=options, seed=self.run.seed, on_epoch=report
            )
            self.clock.lap("train")

    def denoise(
        self,
        white: WhiteImage,
        models: Sequence[LearnedVAE] | None,
        place: Place | None = None,
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None, list[LearnedVAE]]:
        """Learn, unless models are given, rebuild and refine.

        Parameters
        ----------
        place : of the image, if it is a part of a larger one

        Returns
        -------
        image, uncertainty : in the shape and units of the image as it was given
        models : one for each patch size
        """
        noisy, pilot, used = self.rebuild(white, models, place)
        refined = self._refined(white, noisy, pilot.image, used[0].sigma)
        clean, uncertainty = self.restored(white, refined, pilot.variance)
        return clean, uncertainty, used

    def rebuild(
        self,
        white: WhiteImage,
        models: Sequence[LearnedVAE] | None,
        place: Place | None = None,
    ) -> tuple[Tensor, Reconstruction, list[LearnedVAE]]:
        """Learn, unless models are given, and rebuild; see `denoise`.

        Returns
        -------
        noisy : (height, width, C), NaN where missing
        pilot : the image of the VAEs
        models : one for each patch size
        """
        noisy = on_device(white, self.device)
        learned: Iterable[LearnedVAE]
        if models is None:  # one at a time: the states of its training patches take the most memory
            learned = self.learn([noisy], white.sigma)
        else:
            check_models(models, noisy, white.sigma)
            learned = (for_another_image(vae, white.sigma) for vae in models)
        rebuilt: list[Reconstruction] = []
        used: list[LearnedVAE] = []
        for vae in learned:
            rebuilt.append(
                apply_vae(
                    vae,
                    noisy,
                    options=self.options,
                    seed=self.run.seed,
                    with_variance=self.run.with_uncertainty,
                    on_patches=self._report_rebuilding(vae, noisy),
                    place=place,
                )
            )
            used.append(for_another_image(vae, vae.sigma))
            self.clock.lap("rebuild")
        return noisy, averaged(rebuilt), used

    def restored(
        self, white: WhiteImage, denoised: Tensor, variance: Tensor | None
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """An image (height, width, C) and its standard deviation, in the units that were given."""
        deviations = None if variance is None else variance.sqrt().cpu().numpy()
        found = white.restored(denoised.cpu().numpy(), deviations)  # waits for a GPU
        self.clock.lap("refine")
        return found

    def result(
        self,
        noise: Noise,
        image: NDArray[np.floating],
        uncertainty: NDArray[np.floating] | None,
    ) -> DenoiseResult:
        """The result of an image, with the time since the one before."""
        return DenoiseResult(
            image=image,
            noise=noise,
            seconds=self.clock.take(),
            device=describe_device(self.device),
            seed=self.run.seed,
            options=self.options,
            uncertainty=uncertainty,
        )

    def filled(
        self, white: WhiteImage, noisy: Tensor, pilot: Tensor, on_pass: Callable[[int], None]
    ) -> tuple[Tensor, Tensor]:
        """Both images without gaps: holes are filled in from their borders inwards."""
        options, missing = self.options.refinement, noisy.isnan()
        pilot = pilot.to(noisy.dtype)
        if options is None or not missing.any():
            return noisy, pilot
        noisy = fill_holes(
            *(noisy, pilot, options),
            sigma=white.noise.stabilised_sigma,
            data_range=white.data_range,
            on_pass=on_pass,
        )
        return noisy, torch.where(missing, noisy, pilot)

    def _refined(self, white: WhiteImage, noisy: Tensor, pilot: Tensor, sigma: float) -> Tensor:
        """The non-local stages; without options the pilot itself."""
        options = self.options.refinement
        if options is None:
            return pilot
        filling = options.hole_passes if noisy.isnan().any() else 0
        denoising = pass_count(options) if white.noise.stabilised_sigma > 0 else 0

        def report(done: int) -> None:
            self.run.on_progress(Progress("refine", done, filling + denoising))

        noisy, pilot = self.filled(white, noisy, pilot, report)
        if not denoising:
            return pilot
        refined = refine_image(
            noisy / sigma,
            pilot / sigma,
            options,
            on_pass=lambda done: report(filling + done),
        )
        return refined.to(noisy.dtype) * sigma

    def _report_rebuilding(self, vae: LearnedVAE, noisy: Tensor) -> Callable[[int], None]:
        size = vae.patch_size
        total = len(PatchGrid.of(noisy, size).every(self.options.inference.stride))
        return lambda done: self.run.on_progress(Progress("rebuild", done, total, size))


def on_device(white: WhiteImage, device: torch.device) -> Tensor:
    """The pixels (height, width, C)."""
    return torch.as_tensor(white.pixels, dtype=_float_type(device), device=device)


def _float_type(device: torch.device) -> torch.dtype:
    """float64 until pixels have been divided by sigma; MPS has none."""
    return torch.float32 if device.type == "mps" else torch.float64
