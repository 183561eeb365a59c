"""Named settings, all in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from denoise.errors import OptionError
from denoise.options import (
    Decoder,
    DenoiseOptions,
    InferenceOptions,
    ModelOptions,
    RefinementOptions,
    SearchOptions,
    TrainingOptions,
)

PresetName = Literal["fast", "balanced", "best", "paper"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)
DEFAULT_PRESET: PresetName = "balanced"

# Up to this sigma (0..255) the paper uses its 8x8 settings, above it 12x12.
PAPER_SMALL_PATCH_SIGMA = 30.0


def preset(name: str, sigma: float, decoder: Decoder | None = None) -> DenoiseOptions:
    """Settings of a preset for noise of standard deviation `sigma` on the 0..255 scale.

    Parameters
    ----------
    decoder : "mlp" for the published model in presets other than "paper", which has it anyway

    Raises
    ------
    OptionError
        If there is no such preset, or it has no such decoder.
    """
    if name not in PRESETS:
        raise OptionError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    check_decoder(name, decoder)
    if name == "paper":
        return _paper(sigma)
    options = {"fast": _fast, "balanced": _balanced, "best": _best}[name](sigma)
    return options if decoder != "mlp" else _with_mlp(options, sigma)


def check_decoder(name: str, decoder: Decoder | None) -> None:
    """Raise an OptionError if a preset does not have this decoder."""
    if name == "paper" and decoder == "amplitude":
        raise OptionError("the preset 'paper' has the decoder 'mlp'")


def _fast(sigma: float) -> DenoiseOptions:
    """Some patches, one patch size, few passes."""
    return DenoiseOptions(
        model=ModelOptions(patch_sizes=(_patch_sizes(sigma)[1],)),
        training=TrainingOptions(epochs=6, patch_budget=16_384, batch_size=2048),
        refinement=RefinementOptions(
            patch_sizes=(7 if sigma >= 35 else 6,),
            rounds=2,
            window=24,
            wiener_group=20,
            feedback=(),
        ),
    )


def _balanced(sigma: float) -> DenoiseOptions:
    """Two patch sizes, since small ones suit texture and large ones flat areas."""
    small, _, large = _patch_sizes(sigma)
    return DenoiseOptions(
        model=ModelOptions(patch_sizes=(small, large), latents=512),
        refinement=RefinementOptions(patch_sizes=(7 if sigma >= 35 else 6,)),
    )


def _best(sigma: float) -> DenoiseOptions:
    """More models, longer training, two rounds of refinement with two patch sizes."""
    return DenoiseOptions(
        model=ModelOptions(patch_sizes=_patch_sizes(sigma), latents=512),
        training=TrainingOptions(epochs=8),
        refinement=RefinementOptions(
            patch_sizes=(6, 8) if sigma >= 35 else (5, 7), rounds=2, window=36
        ),
    )


def _patch_sizes(sigma: float) -> tuple[int, int, int]:
    """Small, medium and large patches: the stronger the noise, the larger."""
    return (6, 7, 8) if sigma < 35 else (8, 9, 10)


def _with_mlp(options: DenoiseOptions, sigma: float) -> DenoiseOptions:
    """The same with the published decoder, learned by Adam in seconds rather than hours."""
    return replace(
        options,
        model=ModelOptions(
            patch_sizes=(_patch_sizes(sigma)[1],), decoder="mlp", latents=128, hidden=(128,)
        ),
        search=SearchOptions(mutation="guided"),
        training=TrainingOptions(
            epochs=20,
            patch_budget=16_000,
            batch_size=256,
            initial_noise=3.0 if sigma >= 35 else 1.0,
            annealing=0.4 if sigma >= 35 else 0.0,
        ),
        inference=InferenceOptions(chunk_size=1024),
    )


def override(
    options: DenoiseOptions,
    *,
    epochs: int | None = None,
    patch_budget: int | None = None,
    learn_noise_variance: bool | None = None,
) -> DenoiseOptions:
    """A preset with the given settings instead of its own; None leaves one as it is."""
    model, training = options.model, options.training
    if epochs is not None:
        training = replace(training, epochs=epochs)
    if patch_budget is not None:
        training = replace(training, patch_budget=patch_budget)
    if learn_noise_variance is not None:
        model = replace(model, learn_noise_variance=learn_noise_variance)
    return replace(options, model=model, training=training)


def _paper(sigma: float) -> DenoiseOptions:
    """Settings published for House (Drefs et al. 2022, experiments of the authors' code).

    Single random flips, no crossover, pi_h = 1/H, sigma^2 from the data variance
    and learned, pixels on the 0..255 scale. The budget holds all patches of a
    256×256 image; larger ones are subsampled to bound memory.
    """
    small = sigma <= PAPER_SMALL_PATCH_SIGMA
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
