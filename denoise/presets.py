"""Named settings, all in one place."""

from __future__ import annotations

from dataclasses import replace

from denoise.errors import OptionError
from denoise.options import (
    DenoiseOptions,
    InferenceOptions,
    ModelOptions,
    SearchOptions,
    TrainingOptions,
)

PRESETS = ("balanced", "paper")
DEFAULT_PRESET = "balanced"

# Up to this sigma (0..255) the paper uses its 8x8 settings, above it 12x12.
PAPER_SMALL_PATCH_SIGMA = 30.0


def preset(name: str, sigma: float) -> DenoiseOptions:
    """Settings of a preset for noise of standard deviation `sigma` on the 0..255 scale.

    Raises
    ------
    OptionError
        If there is no such preset.
    """
    if name == "balanced":
        return _balanced(sigma)
    if name == "paper":
        return _paper(sigma)
    raise OptionError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")


def _balanced(sigma: float) -> DenoiseOptions:
    """Learned in seconds on a CPU; the stronger the noise, the larger the patches."""
    if sigma < 20:
        return DenoiseOptions(model=ModelOptions(patch_size=6))
    if sigma < 35:
        return DenoiseOptions(model=ModelOptions(patch_size=7))
    return DenoiseOptions(
        model=ModelOptions(patch_size=9),
        training=TrainingOptions(initial_noise=3.0, annealing=0.4),
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
            patch_size=8 if small else 12,
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
