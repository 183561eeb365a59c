"""How to run a method. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from denoise.presets import NO_OVERRIDES, Overrides

if TYPE_CHECKING:
    from denoise.pipeline.results import Progress
    from denoise.vae.learned import LearnedVAE


@dataclass(frozen=True)
class Run:
    """How to run a method; see `denoise_image`. What a method does not have, it leaves alone.

    Only our own methods have all of it; other VAEs have `epochs` and `patch_budget` of the
    overrides, and all methods a range of the data, a seed, a device and progress.
    """

    data_range: float | None = None
    overrides: Overrides = NO_OVERRIDES
    models: Sequence[LearnedVAE] | None = None
    with_uncertainty: bool = False
    time_budget: float | None = None
    seed: int = 0
    device: str = "auto"
    on_progress: Callable[[Progress], None] = lambda progress: None


DEFAULT_RUN = Run()
