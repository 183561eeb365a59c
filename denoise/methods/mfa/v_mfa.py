"""v-MFA: a mixture of many factor analysers, learned from the noisy patches by truncated EM.

The zero-shot denoiser of Salwig, Kahlke, Hirschberger, Forster, Lücke, "Sublinear Variational
Optimization of Gaussian Mixture Models with Millions to Billions of Parameters", arXiv 2501.12299:
every patch is replaced by its posterior mean without noise, and patches are merged where they
overlap. `PUBLISHED` has its settings; the defaults are those that gained decibels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from denoise.devices import out_of_memory_reported, pick_device
from denoise.methods.image_patches import ImagePatches
from denoise.methods.mfa.merging import mean_image, median_image
from denoise.methods.mfa.mfa_model import EMBudget, MFAOptions, learn_mfa
from denoise.methods.refined import finished
from denoise.methods.vaes.training import DIAGNOSED_PATCHES
from denoise.methods.whole_image import complete_image
from denoise.noise.interface import Noise
from denoise.pipeline.results import Clock, DenoiseResult, Progress
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.presets import Overrides

# The settings of the authors' code, which ends when the bound hardly rises.
PUBLISHED = MFAOptions(
    patch_size=12,
    components=1000,
    factors=5,
    free_patch_mean=False,
    loadings="point",
    learn_noise_variance=True,
    training=EMBudget(epochs=30),
)


def mfa_options(overrides: Overrides) -> MFAOptions:
    """The defaults, with another budget if given.

    Raises
    ------
    OptionError
        If a number is out of its bounds.
    """
    options = MFAOptions()
    return replace(options, training=replace(options.training, **overrides.budget))


@out_of_memory_reported()
def denoise_with_v_mfa(
    image: ArrayLike,
    noise: float | Noise,
    options: MFAOptions,
    run: Run = DEFAULT_RUN,
) -> DenoiseResult:
    """Learn a mixture of factor analysers from a noisy image and rebuild the image with it.

    Parameters
    ----------
    image : (height, width) or (height, width, C) finite real numbers
    noise : in the units of `image`; a number is the standard deviation of white Gaussian noise
    options : `mfa_options` has the defaults

    Raises
    ------
    ImageError
        If the array is no image, smaller than a patch, or has missing values.
    OptionError
        If `noise` is out of its bounds.
    DeviceError
        If the device is not available.
    TrainingError
        If the bound leaves the finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(128, 25, size=(32, 32))
    >>> options = MFAOptions(patch_size=4, components=3, factors=2)
    >>> denoise_with_v_mfa(noisy, 25, options).image.shape
    (32, 32)
    """
    clock = Clock()
    white = complete_image(image, noise, run.data_range)
    budget, size = options.training, options.patch_size
    patches = ImagePatches.of(
        white.pixels / white.sigma,
        size,
        pick_device(run.device),
        free_mean=options.free_patch_mean,
    )
    generator = torch.Generator().manual_seed(run.seed % 2**63)
    training = patches.drawn(budget.patch_budget, generator)
    model = learn_mfa(
        training,
        options,
        generator=generator,
        on_epoch=lambda done: run.on_progress(Progress("train", done, budget.epochs, size)),
    )
    clock.lap("train")
    total = len(patches.grid)

    def rebuild(index: Tensor) -> Tensor:
        whole = patches.grid.extract(patches.pixels, index)
        seen = whole @ patches.basis
        run.on_progress(Progress("rebuild", int(index[-1]) + 1, total, size))
        # What the basis leaves out stays as it is.
        return whole + (model.posterior_mean(seen) - seen) @ patches.basis.T

    merge = median_image if options.merge == "median" else mean_image
    pilot = merge(rebuild, patches.grid)
    clock.lap("rebuild")
    return finished(
        *(white, patches.pixels, pilot, run, clock),
        options=options,
        prior=patches.prior(model, white.sigma),
        diagnostics=model.diagnostics(training[:DIAGNOSED_PATCHES]),
    )
