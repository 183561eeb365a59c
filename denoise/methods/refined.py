"""The refinement of our presets, from what another method makes as its pilot."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.methods.run import Run
from denoise.options import RefinementOptions
from denoise.presets import preset_for
from denoise.refinement.refine import pass_count, refine_image
from denoise.results import Progress

# The preset whose filters refine what other methods make.
REFINED_AS = "balanced"


def filters_for(run: Run, sigma: float, data_range: float) -> RefinementOptions | None:
    """The refinement that a run asks for behind another method; None if it does not.

    Parameters
    ----------
    sigma : of the white noise
    data_range : largest difference in the clean image, in the same units
    """
    return preset_for(REFINED_AS, sigma, data_range).refinement if run.overrides.refine else None


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
