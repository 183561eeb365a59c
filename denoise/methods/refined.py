"""The refinement of our presets, from what another method makes as its pilot."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.methods.run import Run
from denoise.presets import preset_for
from denoise.refinement.refine import pass_count, refine_image
from denoise.results import Progress

# The preset whose filters refine what other methods make.
REFINED_AS = "balanced"


def refined(noisy: Tensor, pilot: Tensor, run: Run, *, sigma: float, data_range: float) -> Tensor:
    """Improve an estimate with groups of similar patches, if the run asks for it.

    Parameters
    ----------
    noisy, pilot : (height, width, C), without missing values
    sigma : of the white noise
    data_range : largest difference in the clean image

    Returns
    -------
    (height, width, C)
    """
    if not run.overrides.refine:
        return pilot
    options = preset_for(REFINED_AS, sigma, data_range).refinement
    assert options is not None
    total = pass_count(options)
    result = refine_image(
        noisy / sigma,
        pilot.to(noisy.dtype) / sigma,
        options,
        on_pass=lambda done: run.on_progress(Progress("refine", done, total)),
    )
    return torch.as_tensor(result * sigma)
