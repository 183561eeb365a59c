"""The published settings and the bounds of all others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from denoise import ColouredNoise
from denoise.errors import OptionError
from denoise.noise.white import WhiteImage
from denoise.options import (
    Decoder,
    DenoiseOptions,
    InferenceOptions,
    ModelOptions,
    RefinementOptions,
    SearchOptions,
    TrainingOptions,
)
from denoise.pipeline.run import Run
from denoise.presets import (
    PRESETS,
    VAE_ALONE,
    Overrides,
    Regime,
    override,
    preset,
    preset_for,
)


@pytest.mark.parametrize(
    ("sigma", "patch", "latents", "states", "bred", "highest_rate"),
    [
        (15, 8, 64, 200, (10, 9, 4), 1e-2),
        (30, 8, 64, 200, (10, 9, 4), 1e-2),
        (31, 12, 512, 64, (5, 4, 1), 5e-2),
        (50, 12, 512, 64, (5, 4, 1), 5e-2),
    ],
)
def test_paper_preset_is_as_published(
    sigma: float,
    patch: int,
    latents: int,
    states: int,
    bred: tuple[int, int, int],
    highest_rate: float,
) -> None:
    """Settings of the House experiments of Drefs et al. 2022 and the authors' scripts."""
    options = preset_for("paper", sigma)
    model, search, training = options.model, options.search, options.training
    assert (model.patch_sizes, model.latents, model.hidden) == ((patch,), latents, (latents,))
    assert (model.leak, model.free_patch_mean, model.learn_noise_variance) == (0, False, True)
    assert (model.expected_active, model.pixel_scale) == (1, 1)  # pi = 1/H, pixels 0..255
    assert search.states == states
    assert (search.parents, search.children, search.generations) == bred
    assert (search.mutation, search.crossover) == ("random", False)
    assert (training.epochs, training.batch_size) == (500, 32)
    assert training.learning_rate == (1e-4, highest_rate)
    assert (training.schedule, training.half_cycle) == ("cyclic", 10)
    assert training.patch_budget >= 249 * 249  # all 8×8 patches of a 256×256 image
    assert (training.initial_noise, training.annealing, training.prior_hold) == (None, 0, 0)


def test_default_patches_grow_with_the_noise() -> None:
    sizes = [preset_for("balanced", sigma).model.patch_sizes for sigma in (5, 15, 25, 50)]
    assert sizes == sorted(sizes)


def test_presets_exist_by_name_only() -> None:
    for name in PRESETS:
        for regime in get_args(Regime):
            assert isinstance(preset(name, regime), DenoiseOptions)
    with pytest.raises(
        OptionError, match="no preset 'magic'; choose one of fast, balanced, best, paper"
    ):
        preset("magic")


@pytest.mark.parametrize(("name", "last_weak"), [("fast", 34.999), ("best", 34.999), ("paper", 30)])
@pytest.mark.parametrize("data_range", [1.0, 255.0, 65535.0])
def test_noise_is_weak_or_strong_by_its_share_of_the_range(
    name: str, last_weak: float, data_range: float
) -> None:
    weak, strong = (
        preset_for(name, sigma / 255 * data_range, data_range) for sigma in (last_weak, 35)
    )
    if name != "paper":
        assert (weak, strong) == (preset(name, "weak"), preset(name, "strong"))
    assert weak.model.patch_sizes == preset(name, "weak").model.patch_sizes
    assert strong.model.patch_sizes == preset(name, "strong").model.patch_sizes
    assert weak.model.patch_sizes < strong.model.patch_sizes
    with pytest.raises(OptionError, match="regime must be one of weak, strong, got 25"):
        preset(name, 25)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PRESETS)
def test_no_last_passes_follow_where_the_noise_was_correlated(name: str) -> None:
    usual, correlated = preset_for(name, 25), preset_for(name, 25, correlated=True)
    if usual.refinement is None:
        assert correlated == usual
        return
    assert usual.refinement.last_patch_sizes
    assert correlated == replace(usual, refinement=replace(usual.refinement, last_patch_sizes=()))


@pytest.mark.parametrize("covariance", [np.eye(1), np.array([[1.0, 0.5], [0.5, 0.2]])])
def test_a_run_takes_the_settings_for_the_noise_of_its_image(covariance: np.ndarray) -> None:
    white = WhiteImage.of(
        np.random.default_rng(0).normal(9, 1, (20, 20)), ColouredNoise.of([covariance])
    )
    correlated = len(covariance) > 1
    assert white.correlated == correlated
    refinement = Run(preset="fast").options_for(white).refinement
    assert refinement is not None and (refinement.last_patch_sizes == ()) == correlated


def test_pixels_of_the_paper_are_on_0_to_255_whatever_the_range() -> None:
    assert preset_for("paper", 25).model.pixel_scale == 1
    assert preset_for("paper", 0.1, 1.0).model.pixel_scale == 1 / 255
    assert preset_for("fast", 0.1, 1.0).model.pixel_scale is None


def test_our_vae_alone_has_no_refinement_and_one_decoder() -> None:
    for name, decoder in VAE_ALONE.items():
        options = preset(name)
        assert (options.refinement, options.model.decoder) == (None, decoder)
        assert options.model.patch_sizes == (8,)
    with pytest.raises(OptionError, match="the preset 'vae' has the decoder 'amplitude'"):
        preset("vae", decoder="mlp")


def test_override_changes_what_it_is_given_and_nothing_else() -> None:
    options = preset("paper")
    assert override(options, Overrides()) == options
    changed = override(options, Overrides(None, 3, 9, learn_noise_variance=False))
    assert changed.training == replace(options.training, epochs=3, patch_budget=9)
    assert changed.model == replace(options.model, learn_noise_variance=False)
    assert changed.search == options.search


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        (ModelOptions, "patch_sizes", ()),
        (ModelOptions, "patch_sizes", (7, 1)),
        (ModelOptions, "decoder", "cnn"),
        (ModelOptions, "max_active", 0),
        (ModelOptions, "latents", 0),
        (ModelOptions, "expected_active", 0.0),
        (ModelOptions, "hidden", (8, 0)),
        (ModelOptions, "leak", 1.5),
        (ModelOptions, "pixel_scale", 0.0),
        (SearchOptions, "states", 0),
        (SearchOptions, "mutation", "giuded"),
        (SearchOptions, "parent_selection", "xx"),
        (TrainingOptions, "epochs", 0),
        (TrainingOptions, "learning_rate", (1e-2, 1e-4)),
        (TrainingOptions, "schedule", "none"),
        (TrainingOptions, "initial_noise", 0.0),
        (TrainingOptions, "annealing", 1.5),
        (TrainingOptions, "prior_hold", -0.1),
        (TrainingOptions, "memory", 0.0),
        (InferenceOptions, "pool_size", 0),
        (InferenceOptions, "chunk_size", 0),
        (InferenceOptions, "stride", 0),
        (InferenceOptions, "search_steps", -1),
        (RefinementOptions, "patch_sizes", (6, 1)),
        (RefinementOptions, "stride", 0),
        (RefinementOptions, "group_size", 0),
        (RefinementOptions, "noise_kept", ()),
        (RefinementOptions, "noise_kept", (1.0, -0.1)),
        (RefinementOptions, "last_patch_sizes", (5, 1)),
        (RefinementOptions, "passes_per_colour_pass", 0),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(group: Any, name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name.split("_")[0]):
        group(**{name: value})


def test_the_published_decoder_needs_a_mean() -> None:
    with pytest.raises(
        OptionError, match="the decoder mlp needs hidden layers, and only this one has them"
    ):
        ModelOptions(decoder="mlp")


@pytest.mark.parametrize("name", ["fast", "balanced", "best"])
def test_the_decoder_can_be_chosen(name: str) -> None:
    for decoder in get_args(Decoder):
        options = preset(name, decoder=decoder)
        assert options.model.decoder == decoder
        assert options.refinement == preset(name).refinement
    assert preset("paper", decoder="mlp") == preset("paper")
    with pytest.raises(OptionError, match="the preset 'paper' has the decoder 'mlp'"):
        preset("paper", decoder="amplitude")


def test_gaps_between_rebuilt_patches_are_refused() -> None:
    with pytest.raises(OptionError, match="a stride of 4 leaves gaps between patches of 3 pixels"):
        DenoiseOptions(model=ModelOptions(patch_sizes=(5, 3)), inference=InferenceOptions(stride=4))


def test_more_states_than_there_are_is_refused() -> None:
    with pytest.raises(OptionError, match="3 latents have no 9 distinct states"):
        DenoiseOptions(
            model=ModelOptions(latents=3, expected_active=1.0), search=SearchOptions(states=9)
        )
