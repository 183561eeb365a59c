"""The benchmark of speed: what it prints, and its counts by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_AMPLITUDE, make_model
from typer import Typer
from typer.testing import CliRunner

from denoise import fast_path
from denoise.benchmarks import perceptron_stages, speed, stages
from denoise.benchmarks.stages import Limits, StageTime
from denoise.neighbourhood import Extent
from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.states import LatentStates
from denoise.stored_states import SparseStates, no_latents_on


@pytest.mark.usefixtures("small")
def test_one_command_prints_and_writes_all_numbers(tmp_path: Path) -> None:
    app = Typer()
    app.command()(speed.main)
    file = tmp_path / "numbers.json"
    done = CliRunner().invoke(app, ["--device", "cpu", "--sizes", "24,40", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "| 40 |" in done.stdout
    numbers = json.loads(file.read_text())
    assert [run["side"] for run in numbers["runs"]] == [24, 40]
    found = {(one["stage"], one["path"]) for one in numbers["stages"]}
    assert found == {("search", "kernels"), ("search", "plain"), ("sums", "kernels")}
    for one in numbers["stages"]:
        assert one["seconds"] > 0
        assert one["operations"] > 0
    published = numbers["published"]
    assert {(one["stage"], one["path"]) for one in published["stages"]} == {
        ("search", "plain"),
        ("gradient", "plain"),
    }
    assert published["seconds"] > 0
    assert f"would take {published['seconds']:.3g} s" in done.stdout
    assert all(run["all"] > 0 and run["psnr"] > 10 for run in numbers["runs"])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny models and limits."""
    monkeypatch.setattr(speed, "preset", lambda name, sigma: TINY_AMPLITUDE)
    monkeypatch.setattr(perceptron_stages, "preset", lambda name, sigma: TINY)
    monkeypatch.setattr(stages, "COPIED", 2**12)
    monkeypatch.setattr(stages, "MATRIX", 16)


def test_squares_of_any_size_come_from_one_image() -> None:
    clean = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(speed.tile(clean, 2), clean[:2, :2])
    assert speed.tile(clean, 9).shape == (9, 9)
    assert np.array_equal(speed.tile(clean, 6)[3:], clean[::-1].repeat(1, 0)[:, [0, 1, 2, 3, 3, 2]])


def test_work_is_counted_for_the_states_that_are_there() -> None:
    """Two states with 1 and 3 latents on, a = 2, of H = 10; one place of three is empty."""
    active = torch.full((1, 3, 4), 10, dtype=torch.int16)
    active[0, 0, 0], active[0, 1, :3] = 4, torch.tensor([1, 2, 3])
    sets = SparseStates(active, torch.tensor([[0.0, -1.0, -torch.inf]]), 10)
    operations, moved = stages._search_work(sets, expansions=5)
    solving = 2 * 8 + 4 * 2
    assert operations == 3 * solving + 5 * (solving + 10 * (4 + 8 + 6))
    assert moved == 4 * 10 + 2 * (2 * 12 + 4 * 3)


def test_the_binding_limit_is_the_one_that_takes_longer() -> None:
    limits = Limits(bandwidth=100.0, arithmetic=1000.0)
    assert StageTime("search", "plain", 2.0, 1, 1, 1000.0, 50.0).share_of(limits) == 0.5
    assert StageTime("search", "plain", 2.0, 1, 1, 500.0, 100.0).share_of(limits) == 0.5


def test_work_with_the_published_decoder_is_counted_by_hand() -> None:
    """Two patches with two states each, a = 1, of H = 9; F = 5, D = 6; 2 times 3 children."""
    model = make_model(9, 6, hidden=(5,))
    patches = Patches.from_raw(torch.zeros(2, 6), torch.arange(2))
    states = torch.zeros(2, 2, 9, dtype=torch.bool)
    states[:, 0, :2] = True
    start = LatentStates(states, torch.zeros(2, 2))
    search = SearchOptions(states=2, parents=2, children=3, mutation="random")
    operations, moved = perceptron_stages._search_work(model, patches, start, search)
    assert operations == 2 * (2 * (10 + 60) + 2 * 10 + 6 * (10 + 60))
    assert moved == 2 * (4 * 6 + 2 * (2 + 6) * (2 + 4))
    operations, moved = perceptron_stages._gradient_work(model, patches, start)
    assert operations == 2 * 2 * (20 + 180)
    assert moved == 2 * (4 * 6 + 2 * (2 + 4))


def test_sums_are_counted_for_all_places() -> None:
    sets = no_latents_on(2, 10, 4, torch.zeros(3))
    operations, moved = stages._sums_work(sets)
    assert operations == 0  # no latent is on
    assert moved == 3 * (12 * 10 + 2 * 2 * 4 + 4 * 2)


def test_plain_tensors_search_as_far_as_the_kernels() -> None:
    generator = torch.Generator().manual_seed(0)
    model = make_model(8, hidden=None, amplitudes=True, free_patch_mean=True)
    assert model.amplitudes is not None
    vectors = model.amplitudes.vectors.float()
    model.amplitudes.vectors = vectors - vectors.mean(1, keepdim=True)
    model.prior_probs, model.noise_variance = model.prior_probs.float(), torch.tensor(0.7)
    model.max_active = 3
    patches = Patches.from_raw(torch.randn(6, 6, generator=generator), torch.arange(6))
    start = no_latents_on(4, 8, 3, patches.values)
    kernels = fast_path.kernels_for(model, patches, start)
    assert kernels is not None
    fast = fast_path.explore(kernels, model, patches, start, Extent(3, 2))
    plain = stages._plain_search(model, patches, start, Extent(3, 2))
    torch.testing.assert_close(plain.log_joints, fast.log_joints, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", [("--preset", "magic"), ("--sizes", "abc"), ("--device", "tpu")])
def test_mistakes_are_told_before_anything_is_measured(wrong: tuple[str, str]) -> None:
    app = Typer()
    app.command()(speed.main)
    done = CliRunner().invoke(app, [*wrong])
    assert done.exit_code == 2
    assert "Measured" not in done.output
