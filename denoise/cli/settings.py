"""What holds for every image of a command: each field is an option. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from denoise.cli.parser import FILES, LEARNING, NOISE, QUALITY, option
from denoise.cli.shared_options import AXES, DEVICE, FRAME, MAX_PIXELS, OVERWRITE, SEED
from denoise.cli.values import (
    complete_noise,
    parse_noise,
    parse_sensor,
    parse_share,
    parse_sigma,
    parse_time,
)
from denoise.methods.table import METHODS, Method
from denoise.options import OWN_MODEL, Decoder, NoiseKind
from denoise.presets import DEFAULT_PRESET, PRESETS, Overrides, PresetName

if TYPE_CHECKING:
    from denoise.noise.interface import Noise
    from denoise.noise.poisson_gaussian import PoissonGaussianNoise

    ModelName = str
    NoiseChoice = NoiseKind | tuple[Noise, str]
else:  # what the parser sees: it makes the first by functions, and lists the names of the last
    PoissonGaussianNoise = NoiseChoice = Any
    ModelName = Literal[(OWN_MODEL, *METHODS)]


# At most this many images on either side help an image; all of them are held in memory.
MOST_FRAMES = 16
OTHERS = [name for name in METHODS if name not in PRESETS]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of every image, as the help explains them; None leaves a choice open."""

    overwrite: bool = OVERWRITE
    skip_existing: bool = option(
        FILES, False, "--skip-existing", help="Resume a run: skip images whose result exists."
    )
    frame: int | None = FRAME
    axes: str | None = AXES
    max_pixels: int | None = MAX_PIXELS
    strip: bool = option(
        FILES, False, "--strip", help="Write no metadata, colour profile or orientation."
    )
    fill_missing: bool = option(
        FILES, False, "--fill-missing", help="Fill in pixels that are NaN or infinite."
    )
    fill_outliers: bool = option(
        NOISE,
        True,
        "--fill-outliers/--keep-outliers",
        help="Fill in hot or dead pixels and salt and pepper where they are unmistakable, or not.",
    )
    sigma: float | None = option(
        NOISE,
        None,
        metavar="SIGMA",
        parser=parse_sigma,
        help="Standard deviation of the noise, if you know it, on 0..255 for integer images of any"
        " depth, in their own units for float images (default: auto, estimated). Raise it if noise"
        " is left, lower it if the result is too smooth.",
    )
    noise: NoiseChoice = option(
        NOISE,
        "auto",
        metavar="KIND",
        parser=parse_noise,
        autocompletion=complete_noise,
        help="auto finds out (the default); gaussian is white and equally strong everywhere;"
        " poisson-gaussian grows with the light; or a FILE.json of `denoise noise`.",
    )
    sensor: PoissonGaussianNoise | None = option(
        NOISE,
        None,
        metavar="GAIN,READ[,OFFSET]",
        parser=parse_sensor,
        help="The poisson-gaussian noise, if your sensor is calibrated: variance per signal, sigma"
        " and level without light (default: estimated).",
    )
    preset: PresetName = option(
        QUALITY,
        DEFAULT_PRESET,
        help="fast for a first look, balanced for most images, best if time does not matter, paper"
        " for the published method (hours on a CPU).",
    )
    strength: float = option(
        QUALITY,
        1.0,
        metavar="SHARE",
        parser=parse_share,
        help="Remove this share of the noise, from 0 to 1. Less keeps some grain where the"
        " result looks too smooth.",
    )
    time_budget: float | None = option(
        QUALITY,
        None,
        metavar="TIME",
        parser=parse_time,
        help="Do the best that fits into TIME for each image, such as 30s or 5min.",
    )
    model: ModelName = option(
        QUALITY,
        OWN_MODEL,
        "--method",
        "--model",
        metavar="NAME",
        help=f"{OWN_MODEL} is ours; to compare, one of {', '.join(OTHERS)}.",
    )
    model_per_frame: bool = option(
        LEARNING,
        False,
        "--model-per-frame",
        help="Measure noise and learn for each image of a file anew, not once for all of them.",
    )
    decoder: Decoder | None = option(
        LEARNING, None, help="mlp for the published model (default: the preset's)."
    )
    epochs: int | None = option(
        LEARNING, None, min=1, metavar="N", help="Pass N times over the training patches."
    )
    training_patches: int | None = option(
        LEARNING, None, min=1, metavar="N", help="Use at most N patches for training."
    )
    learn_sigma: bool | None = option(
        LEARNING, None, "--learn-sigma/--fix-sigma", help="Let the model correct sigma, or not."
    )
    seed: int = SEED
    temporal: int = option(
        QUALITY,
        0,
        min=0,
        max=MOST_FRAMES,
        metavar="R",
        help="Let the R images before and after each image of a file help it: for time lapses and"
        " stacks whose images show nearly the same.",
    )
    refine: bool = option(
        QUALITY,
        False,
        "--refine",
        help="Let the filters of balanced follow a --method or preset that has none.",
    )
    device: str = DEVICE

    @property
    def method(self) -> Method:
        """What denoises."""
        return METHODS[self.preset if self.model == OWN_MODEL else self.model]

    @property
    def gives_noise(self) -> bool:
        """Whether the user gave the noise, which is estimated otherwise."""
        return not (self.sigma is None and self.sensor is None and isinstance(self.noise, str))

    @property
    def may_replace(self) -> bool:
        """Whether files that exist may be replaced."""
        return self.overwrite or self.skip_existing

    @property
    def overrides(self) -> Overrides:
        """What is to differ from the preset."""
        return Overrides(
            decoder=self.decoder,
            epochs=self.epochs,
            patch_budget=self.training_patches,
            learn_noise_variance=self.learn_sigma,
            refine=self.refine,
        )
