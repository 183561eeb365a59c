"""Named settings, all in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from denoise.errors import OptionError
from denoise.options import (
    Decoder,
    DenoiseOptions,
    InferenceOptions,
    ModelOptions,
    RefinementOptions,
    SearchOptions,
    TrainingOptions,
    require_choice,
)

PresetName = Literal["fast", "balanced", "best", "paper"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)
DEFAULT_PRESET: PresetName = "balanced"
# Our VAE alone, without refinement, on patches as other VAEs have them, to compare it with them.
VAE_ALONE: dict[str, Decoder] = {"vae": "amplitude", "vae-mlp": "mlp"}
COMPARED_PATCH_SIZE = 8

# Strong noise calls for larger patches and more caution than weak noise.
Regime = Literal["weak", "strong"]
# Sigma over the range of the data at which the one gives way to the other.
STRONG_FROM, PAPER_WEAK_UP_TO = 35 / 255, 30 / 255


@dataclass(frozen=True)
class Overrides:
    """Settings to have instead of a preset's own; None leaves the preset's choice.

    Attributes
    ----------
    decoder : "mlp" for the published model in presets other than "paper", which has it anyway
    epochs, patch_budget : of `TrainingOptions`
    learn_noise_variance : of `ModelOptions`
    refine : let the filters of "balanced" follow a method that has no refinement
    """

    decoder: Decoder | None = None
    epochs: int | None = None
    patch_budget: int | None = None
    learn_noise_variance: bool | None = None
    refine: bool = False

    @property
    def budget(self) -> dict[str, Any]:
        """Those of the training, if given."""
        budget = {"epochs": self.epochs, "patch_budget": self.patch_budget}
        return {name: number for name, number in budget.items() if number is not None}


NO_OVERRIDES = Overrides()


def preset_for(
    name: str,
    sigma: float,
    data_range: float = 255.0,
    overrides: Overrides = NO_OVERRIDES,
    *,
    correlated: bool = False,
) -> DenoiseOptions:
    """Settings of a preset for an image with white noise.

    Parameters
    ----------
    sigma : standard deviation of the noise
    data_range : largest difference in the clean image, in the same units
    correlated : whether the noise was correlated before it was made white. It is then never quite
        white, and last passes over the data would bring some of it back

    Raises
    ------
    OptionError
        If there is no such preset, or it has no such decoder.
    """
    share = sigma / data_range
    strong = share > PAPER_WEAK_UP_TO if name == "paper" else share >= STRONG_FROM
    regime: Regime = "strong" if strong else "weak"
    options = preset(name, regime, decoder=overrides.decoder)
    if overrides.refine and options.refinement is None:
        options = replace(options, refinement=_balanced(regime).refinement)
    if correlated and options.refinement is not None:
        options = replace(options, refinement=replace(options.refinement, last_patch_sizes=()))
    if options.model.pixel_scale is not None:
        scale = options.model.pixel_scale * data_range / 255
        options = replace(options, model=replace(options.model, pixel_scale=scale))
    return override(options, overrides)


def preset(name: str, regime: Regime = "weak", *, decoder: Decoder | None = None) -> DenoiseOptions:
    """Settings of a preset, for images on the 0..255 scale where that matters ("paper").

    Parameters
    ----------
    name : one of `PRESETS` or of `VAE_ALONE`
    regime : "weak" noise up to a sigma of some 30 on the 0..255 scale, or "strong"
    decoder : see `Overrides`

    Raises
    ------
    OptionError
        If there is no such preset, or it has no such decoder.
    """
    require_choice("regime", regime, Regime)
    check_decoder(name, decoder)
    if name == "paper":
        return _paper(regime)
    if name in VAE_ALONE:
        return _vae_alone(regime, VAE_ALONE[name])
    if name not in PRESETS:
        raise OptionError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    options = {"fast": _fast, "balanced": _balanced, "best": _best}[name](regime)
    return options if decoder != "mlp" else _with_mlp(options, regime)


def check_decoder(name: str, decoder: Decoder | None) -> None:
    """Raise an OptionError if a preset does not have this decoder."""
    fixed = "mlp" if name == "paper" else VAE_ALONE.get(name)
    if fixed is not None and decoder not in (None, fixed):
        raise OptionError(f"the preset {name!r} has the decoder {fixed!r}")


def override(options: DenoiseOptions, overrides: Overrides) -> DenoiseOptions:
    """The same settings but for those given; the decoder is `preset`'s to choose."""
    model = options.model
    if overrides.learn_noise_variance is not None:
        model = replace(model, learn_noise_variance=overrides.learn_noise_variance)
    training = replace(options.training, **overrides.budget)
    return replace(options, model=model, training=training)


def _fast(regime: Regime) -> DenoiseOptions:
    """A few patches, learned from in a second, and few passes of the refinement."""
    strong = regime == "strong"
    return DenoiseOptions(
        model=ModelOptions(patch_sizes=(_patch_sizes(regime)[1],)),
        training=TrainingOptions(epochs=4, patch_budget=8192, batch_size=1024),
        inference=InferenceOptions(stride=2),
        refinement=RefinementOptions(
            patch_sizes=(7,) if strong else (6,),
            group_size=50 if strong else 40,
            window=24,
            noise_kept=(0.5625, 0.375, 0.1875, 0.0),
            wiener_group=16,
            last_patch_sizes=(4, 8),
            hole_passes=12,
        ),
    )


def _balanced(regime: Regime) -> DenoiseOptions:
    """Some patches; two patch sizes in the refinement, which err differently."""
    strong = regime == "strong"
    return DenoiseOptions(
        model=ModelOptions(patch_sizes=(_patch_sizes(regime)[1],)),
        training=TrainingOptions(patch_budget=16_384, batch_size=2048),
        inference=InferenceOptions(stride=2),
        refinement=RefinementOptions(
            patch_sizes=(6, 8) if strong else (5, 7),
            group_size=60 if strong else 40,
            wiener_passes=2 if strong else 1,
            wiener_group=16,
            last_patch_sizes=(4, 6, 8),
        ),
    )


def _best(regime: Regime) -> DenoiseOptions:
    """More models and all patches: small patches suit texture and large ones flat areas."""
    small, _, large = _patch_sizes(regime)
    strong = regime == "strong"
    return DenoiseOptions(
        model=ModelOptions(patch_sizes=(small, large), latents=512),
        refinement=RefinementOptions(
            patch_sizes=(6, 7, 8) if strong else (5, 6, 7),
            group_size=60 if strong else 40,
            window=36,
            wiener_passes=2,
            wiener_group=16,
            last_patch_sizes=(4, 6, 8),
            hole_passes=48,
        ),
    )


def _patch_sizes(regime: Regime) -> tuple[int, int, int]:
    """Small, medium and large patches: the stronger the noise, the larger."""
    return (6, 7, 8) if regime == "weak" else (8, 9, 10)


def _with_mlp(options: DenoiseOptions, regime: Regime) -> DenoiseOptions:
    """The same with the published decoder, learned by Adam in seconds rather than hours."""
    return replace(
        options,
        model=ModelOptions(
            patch_sizes=(_patch_sizes(regime)[1],), decoder="mlp", latents=128, hidden=(128,)
        ),
        search=SearchOptions(mutation="guided"),
        training=TrainingOptions(
            epochs=20,
            patch_budget=16_000,
            batch_size=256,
            initial_noise=3.0 if regime == "strong" else 1.0,
            annealing=0.4 if regime == "strong" else 0.0,
        ),
        inference=InferenceOptions(chunk_size=1024),
    )


def _vae_alone(regime: Regime, decoder: Decoder) -> DenoiseOptions:
    options = _best(regime) if decoder == "amplitude" else _with_mlp(_best(regime), regime)
    model = replace(options.model, patch_sizes=(COMPARED_PATCH_SIZE,))
    return replace(options, model=model, refinement=None)


def _paper(regime: Regime) -> DenoiseOptions:
    """Settings published for House (Drefs et al. 2022, experiments of the authors' code).

    Single random flips, no crossover, pi_h = 1/H, sigma^2 from the data variance
    and learned, pixels on the 0..255 scale. The budget holds all patches of a
    256×256 image; larger ones are subsampled to bound memory.
    """
    small = regime == "weak"
    latents = 64 if small else 512
    return DenoiseOptions(
        model=ModelOptions(
            patch_sizes=(8 if small else 12,),
            decoder="mlp",
            latents=latents,
            hidden=(latents,),
            free_patch_mean=False,
            expected_active=1.0,
            pixel_scale=1.0,
            learn_noise_variance=True,
        ),
        search=SearchOptions(
            states=200 if small else 64,
            parents=10 if small else 5,
            children=9 if small else 4,
            generations=4 if small else 1,
            parent_selection="fitness",
            mutation="random",
        ),
        training=TrainingOptions(
            epochs=500,
            patch_budget=65_536,
            batch_size=32,
            learning_rate=(1e-4, 1e-2 if small else 5e-2),
            schedule="cyclic",
            half_cycle=10,
            initial_noise=None,
            annealing=0.0,
            prior_hold=0.0,
        ),
        inference=InferenceOptions(chunk_size=256),
    )
