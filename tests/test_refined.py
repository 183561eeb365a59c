"""Our refinement behind other methods: by name, by option, in the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noisy_file, run_cli, step_image

from denoise.cli.benchmark_options import BenchmarkOptions
from denoise.cli.benchmark_run import _method_names
from denoise.errors import OptionError
from denoise.methods.table import METHODS, methods_by_name
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.pipeline.run import Run
from denoise.presets import Overrides, preset, preset_for
from denoise.refinement.refine import refine_image

SIGMA = 20.0
CLEAN = step_image(48, 40)
NOISY = add_gaussian_noise(CLEAN, SIGMA, generator=np.random.default_rng(0))
BALANCED = preset("balanced").refinement


def test_it_is_the_refinement_of_balanced_from_the_method_s_image() -> None:
    assert BALANCED is not None
    (method,) = methods_by_name(["blur+refine"])
    blurred = METHODS["blur"].denoise(NOISY, SIGMA).image
    expected = SIGMA * refine_image(
        torch.as_tensor(NOISY[..., None] / SIGMA),
        torch.as_tensor(blurred[..., None].astype(np.float64) / SIGMA),
        BALANCED,
        on_pass=lambda done: None,
    )
    result = method.denoise(NOISY, SIGMA, Run(data_range=255))
    np.testing.assert_allclose(result.image, expected[..., 0].numpy(), atol=0.02)
    assert psnr(CLEAN, result.image) > psnr(CLEAN, blurred) + 1
    assert set(result.seconds) == {"denoise", "refine"}


@pytest.mark.parametrize("name", ["vq-vae", "v-mfa"])
def test_a_vae_is_refined(name: str) -> None:
    run = Run(data_range=255, overrides=Overrides(epochs=2, patch_budget=300))
    alone = METHODS[name].denoise(NOISY, SIGMA, run)
    (method,) = methods_by_name([f"{name}+refine"])
    refined = method.denoise(NOISY, SIGMA, run)
    assert method.name == f"{name}+refine"
    assert psnr(CLEAN, refined.image) > psnr(CLEAN, alone.image)
    assert refined.options == alone.options
    assert (alone.refinement, refined.refinement) == (None, BALANCED)


@pytest.mark.parametrize("name", ["vae", "vae-mlp", "paper"])
def test_our_models_alone_can_be_refined(name: str) -> None:
    assert preset_for(name, 25).refinement is None
    assert preset_for(name, 25, overrides=Overrides(refine=True)).refinement == BALANCED
    strong = preset_for(name, 50, overrides=Overrides(refine=True)).refinement
    assert strong == preset("balanced", "strong").refinement


@pytest.mark.parametrize("name", ["balanced", "noisy", "biharmonic"])
def test_what_cannot_be_refined_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} cannot be refined"):
        methods_by_name([f"{name}+refine"])


def test_the_command_refines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("noisy.png"), clean=Path("clean.png"))
    arguments = ("noisy.png", "--sigma", "20", "--reference", "clean.png", "--method", "tv")
    reports = []
    for more in ((), ("--refine", "--overwrite")):
        code, stdout, _ = run_cli(*arguments, *more, "--json")
        assert code == 0
        reports.append(json.loads(stdout))
    assert reports[1]["psnr"] > reports[0]["psnr"]
    assert BALANCED is not None and reports[0]["settings"] is None
    assert reports[1]["settings"]["refinement"]["group_size"] == BALANCED.group_size
    code, _, stderr = run_cli("noisy.png", "--refine", "--preset", "fast")
    assert code == 2 and "fast cannot be refined" in stderr


def test_the_benchmark_measures_both() -> None:
    options = BenchmarkOptions(methods="noisy,tv,vae+refine", presets="fast", refine=True)
    assert _method_names(options) == ["noisy", "tv", "tv+refine", "vae+refine", "fast"]
