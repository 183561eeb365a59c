"""How to denoise: what a user may choose. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from denoise.presets import DEFAULT_PRESET, NO_OVERRIDES, Overrides, preset_for

if TYPE_CHECKING:
    from denoise.noise.white import WhiteImage
    from denoise.options import DenoiseOptions
    from denoise.pipeline.results import Progress
    from denoise.vae.learned import LearnedVAE


def _ignore(progress: Progress) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Run:
    """How to denoise images: the parameters of `denoise_image`, which explains them.

    Our own methods need all of them. Other VAEs take the number of epochs and of patches from
    `overrides`; `data_range`, `seed`, `device` and `on_progress` are for all methods.
    """

    preset: str = DEFAULT_PRESET
    overrides: Overrides = NO_OVERRIDES
    options: DenoiseOptions | None = None
    data_range: float | None = None
    models: Sequence[LearnedVAE] | None = None
    with_uncertainty: bool = False
    time_budget: float | None = None
    seed: int = 0
    device: str = "auto"
    on_progress: Callable[[Progress], None] = _ignore

    @property
    def silent(self) -> Run:
        """This run without reports of progress."""
        return replace(self, on_progress=_ignore)

    def options_for(self, white: WhiteImage) -> DenoiseOptions:
        """All settings for an image: those that are given, or those of the preset for its noise."""
        return self.options or preset_for(
            *(self.preset, white.sigma, white.data_range, self.overrides),
            correlated=white.correlated,
        )


DEFAULT_RUN = Run()
