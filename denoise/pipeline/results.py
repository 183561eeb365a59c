"""What a run reports while it works and when it is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from denoise.noise.interface import Noise
from denoise.options import RefinementOptions

if TYPE_CHECKING:  # names of files are checked before torch is loaded
    from denoise.vae.learned import LearnedVAE
    from denoise.vae.prior import PatchPrior

STAGES = ("train", "rebuild", "refine")


class Clock:
    """Adds up the seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Book the time since the last call on `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now

    def take(self) -> dict[str, float]:
        """The seconds since the last time they were taken."""
        taken, self.seconds = self.seconds, {}
        return taken


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes
    ----------
    stage : "train" and "rebuild", in turn for each patch size, then "refine"; of a series, "train"
        and then "series", and of a large image "train" and then "tiles"
    done, total : epochs, patches, passes, images or tiles
    patch_size : side of the model's patches, in pixels; None when refining
    elbo : mean over training patches, in nats; None but for "train"
    """

    stage: str
    done: int
    total: int
    patch_size: int | None = None
    elbo: float | None = None


@dataclass(frozen=True)
class DenoiseResult:
    """A denoised image and how it came about; what a method does not have is None or empty.

    Attributes
    ----------
    image : (height, width) or (height, width, C) float32 in the units of the input, not clipped
    noise : as given
    seconds : time spent in each stage: "train", "rebuild" and "refine", or those that there are
    device : where it ran, such as "cpu" or "cuda:0 (NVIDIA ...)"
    seed : that of the run
    options : all settings of the run, `DenoiseOptions` or the dataclass of another method
    learned_sigma : root of the mean posterior-weighted squared error at the end of training,
        the model's own estimate of the sigma of the stabilised image; None if the model was
        learned before
    elbo_history : mean ELBO per training patch of each epoch, in nats, for the first patch size
    uncertainty : standard deviation of every pixel under the VAE's posterior, shaped like
        `image` in its units, or None if not asked for
    models : one learned VAE for each patch size, for other images of the same kind; their pixels
        are those of stabilised images
    prior : what another VAE learned, to draw patches from
    tiles : in how many the image was denoised; None if whole
    refinement : settings of our filters, if they followed another method
    diagnostics : what other methods report of their training, such as {"perplexity": 12.3}
    """

    image: NDArray[np.float32]
    noise: Noise
    seconds: dict[str, float]
    device: str
    seed: int
    options: Any = None
    learned_sigma: float | None = None
    elbo_history: tuple[float, ...] = ()
    uncertainty: NDArray[np.float32] | None = None
    models: tuple[LearnedVAE, ...] = ()
    prior: PatchPrior | None = None
    tiles: int | None = None
    refinement: RefinementOptions | None = None
    diagnostics: dict[str, float] = field(default_factory=dict)

    def with_models(self, models: Sequence[LearnedVAE], *, learned: bool) -> DenoiseResult:
        """The result with the models behind it.

        Parameters
        ----------
        learned : whether they were learned on this image, so that their training belongs to it
        """
        history = models[0].history if learned else ()
        return replace(
            self,
            models=tuple(models),
            learned_sigma=models[0].residual_sigma if history else None,
            elbo_history=tuple(stats.elbo for stats in history),
        )

    @property
    def settings(self) -> dict[str, Any] | None:
        """All settings, nested; None if a method has none."""
        own = {} if self.options is None else asdict(self.options)
        if self.refinement is not None:
            own["refinement"] = asdict(self.refinement)
        return own or None
