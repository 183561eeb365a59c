"""Schedules that fit into a time: chosen by arithmetic, never without learning."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY_AMPLITUDE, step_image

from denoise import denoise_image, preset
from denoise.errors import OptionError
from denoise.pipeline.budget import (
    LEAST_EPOCHS,
    LEAST_PATCHES,
    SCALES,
    Speed,
    fit_to_time,
    measure_speed,
    scaled,
)
from denoise.pipeline.run import Run
from denoise.refinement.refine import pass_count

SPEED = Speed(training=1e-5, rebuilding=2e-5, refining=1e-5)
PIXELS = 256 * 256


@pytest.mark.parametrize("name", ["fast", "balanced", "best", "paper"])
def test_scale_one_is_the_preset_and_less_scale_is_less_work(name: str) -> None:
    options = preset(name)
    assert scaled(options, 1.0) == options
    seconds = [SPEED.predict(scaled(options, scale), PIXELS) for scale in SCALES]
    assert seconds == sorted(seconds, reverse=True)
    quickest = scaled(options, SCALES[-1])
    assert quickest.training.epochs >= LEAST_EPOCHS
    assert quickest.training.patch_budget >= LEAST_PATCHES
    assert quickest.model.patch_sizes


def test_prediction_adds_up_the_stages() -> None:
    options = preset("balanced")
    assert options.refinement is not None
    models, training = len(options.model.patch_sizes), options.training
    learned = min(training.patch_budget, PIXELS) * training.epochs
    expected = (
        models * (learned * 1e-5 + PIXELS * 2e-5) + pass_count(options.refinement) * PIXELS * 1e-5
    )
    assert SPEED.predict(options, PIXELS) == pytest.approx(expected)


@pytest.mark.parametrize("seconds", [0.01, 5.0, 20.0, 1e6])
def test_the_most_thorough_version_that_fits_is_chosen(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object, run: Run, **__: object) -> Speed:
        return SPEED if run.models is None else replace(SPEED, training=0.0)

    monkeypatch.setattr("denoise.pipeline.budget.measure_speed", measure)
    options, image = preset("balanced"), torch.zeros(256, 256, 1)
    chosen = fit_to_time(options, image, 25.0, seconds)
    versions = [scaled(options, scale) for scale in SCALES]
    place = versions.index(chosen)
    if place < len(versions) - 1:
        assert SPEED.predict(chosen, PIXELS) <= seconds
    if place > 0:
        assert SPEED.predict(versions[place - 1], PIXELS) > 0.84 * seconds
    quicker = fit_to_time(options, image, 25.0, seconds, run=Run(models=[]))
    assert versions.index(quicker) <= place  # nothing to learn leaves more time


def test_images_smaller_than_the_trial_and_missing_pixels_are_measured_too() -> None:
    image = step_image(20, 11)
    image[3, 4] = float("nan")
    result = denoise_image(image, 20, options=TINY_AMPLITUDE, time_budget=2.0, device="cpu")
    assert result.image.shape == image.shape
    assert result.options.training.epochs >= LEAST_EPOCHS


def test_a_learned_model_costs_no_learning() -> None:
    image = torch.as_tensor(step_image(64, 64), dtype=torch.float64)[..., None]
    models = denoise_image(step_image(), 20, options=TINY_AMPLITUDE, device="cpu").models
    speed = measure_speed(TINY_AMPLITUDE, image, 20, run=Run(models=models))
    assert speed.training == 0
    assert speed.rebuilding > 0
    assert measure_speed(TINY_AMPLITUDE, image, 20).training > 0


def test_a_middle_without_a_single_value_is_measured_too() -> None:
    image = torch.as_tensor(step_image(80, 80), dtype=torch.float64)[..., None]
    image[5:75, 5:75] = float("nan")
    speed = measure_speed(TINY_AMPLITUDE, image, 20)
    assert min(speed.training, speed.rebuilding) > 0


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_must_be_positive(budget: float) -> None:
    with pytest.raises(OptionError, match="time_budget must be positive seconds"):
        denoise_image(step_image(), 20, options=TINY_AMPLITUDE, time_budget=budget, device="cpu")
