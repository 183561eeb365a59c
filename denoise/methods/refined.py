"""The refinement of our presets, from what another method makes as its pilot."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from denoise.devices import describe_device
from denoise.noise.white import WhiteImage
from denoise.options import RefinementOptions
from denoise.pipeline.results import Clock, DenoiseResult, Progress
from denoise.pipeline.run import Run
from denoise.refinement.refine import pass_count, refine_image

# The preset whose filters refine what other methods make.
REFINED_AS = "balanced"


def filters_for(run: Run, white: WhiteImage) -> RefinementOptions | None:
    """The refinement that a run asks for behind another method; None if it does not."""
    return Run(preset=REFINED_AS).options_for(white).refinement if run.overrides.refine else None


def finished(
    white: WhiteImage, scaled: Tensor, pilot: Tensor, run: Run, clock: Clock, **known: Any
) -> DenoiseResult:
    """The result of a method that works in units of sigma, refined if the run asks for it.

    Parameters
    ----------
    scaled, pilot : (height, width, C), the noisy image and its estimate, in units of sigma
    known : other fields of the result
    """
    filters = filters_for(run, white)
    denoised = refined(scaled, pilot, filters, run, sigma=1.0)
    restored, _ = white.restored((denoised * white.sigma).cpu().numpy())
    clock.lap("refine")
    return DenoiseResult(
        image=restored,
        noise=white.noise,
        seconds=clock.seconds,
        device=describe_device(scaled.device),
        seed=run.seed,
        refinement=filters,
        **known,
    )


def refined(
    noisy: Tensor, pilot: Tensor, filters: RefinementOptions | None, run: Run, *, sigma: float
) -> Tensor:
    """Improve an estimate with groups of similar patches, if there are filters.

    Parameters
    ----------
    noisy, pilot : (height, width, C), without missing values
    sigma : of the white noise

    Returns
    -------
    (height, width, C)
    """
    if filters is None:
        return pilot
    total = pass_count(filters)
    result = refine_image(
        noisy / sigma,
        pilot.to(noisy.dtype) / sigma,
        filters,
        on_pass=lambda done: run.on_progress(Progress("refine", done, total)),
    )
    return torch.as_tensor(result * sigma)
