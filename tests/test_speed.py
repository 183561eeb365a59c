"""The benchmark of speed: what it prints, and its counts by hand."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_AMPLITUDE, make_amplitude_vae, make_mlp_vae
from typer import Typer
from typer.testing import CliRunner

from denoise.kernels.choice import implementation, use
from denoise.kernels.launching import launches_handed_to
from denoise.kernels.matching import match_patches
from denoise.options import SearchOptions
from denoise.patches import Patches, PatchGrid
from denoise.pipeline.image import denoise_image
from denoise.vae.states import LatentStates
from denoise.vae.stored_states import SparseStates, no_latents_on
from gpu_kernels import Launch, recorded
from speed import (
    amplitude_stages,
    command,
    mlp_stages,
    refinement_stages,
    stages,
    whole_runs,
)
from speed.paths import on_path
from speed.stages import Limits, StageTime, Work
from speed.whole_runs import WholeRun, comparison


@pytest.mark.usefixtures("small")
def test_one_command_prints_and_writes_all_numbers(tmp_path: Path) -> None:
    app = Typer()
    app.command()(command.main)
    file = tmp_path / "numbers.json"
    options = ["--device", "cpu", "--sizes", "24,40", "--plain-sizes", "24,32", "--json", str(file)]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    numbers = json.loads(file.read_text())
    runs = numbers["runs"]
    assert [(run["side"], run["path"]) for run in runs] == [
        (24, "kernels"),
        (40, "kernels"),
        (24, "plain"),
        (32, "kernels"),
        (32, "plain"),
    ]
    assert runs[0]["psnr"] == pytest.approx(runs[2]["psnr"], abs=0.02)
    assert runs[0]["elbo"] == pytest.approx(runs[2]["elbo"], rel=1e-3)
    assert all(sum(run["seconds"].values()) > 0 and run["psnr"] > 10 for run in runs)
    assert f"{runs[2]['psnr']:.3f} |" in done.stdout
    assert "dB apart" in done.stdout
    assert paths_of(numbers["stages"]) == {
        "search": {"kernels", "plain"},
        "sums": {"kernels", "plain"},
        "solve": {"plain"},
        "means": {"kernels", "plain"},
        "variances": {"kernels", "plain"},
        "match": {"kernels", "plain"},
        "filter": {"plain"},
        "merge": {"plain"},
        "filter and merge": {"kernels", "plain"},
    }
    for one in numbers["stages"]:
        assert one["seconds"] > 0
        assert one["work"]["operations"] > 0
    published = numbers["published"]
    assert paths_of(published["stages"]) == {"search": {"plain"}, "gradient": {"plain"}}
    (training,) = published["paths"]
    assert training["seconds"] > 0
    assert f"{training['seconds']:.3g} s (ELBO {training['elbo']:.4f}" in done.stdout
    assert f"size 24: {numbers['process_seconds']:.1f} s" in done.stdout
    assert numbers["process_seconds"] > 0.5


def paths_of(times: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The paths that each stage was timed on."""
    return {
        one["stage"]: {other["path"] for other in times if other["stage"] == one["stage"]}
        for one in times
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny models and limits."""
    monkeypatch.setattr(command, "preset_for", lambda name, sigma: TINY_AMPLITUDE)
    monkeypatch.setattr(mlp_stages, "preset_for", lambda name, sigma: TINY)
    monkeypatch.setattr(stages, "COPIED", 2**12)
    monkeypatch.setattr(stages, "MATRIX", 16)


def test_plain_tensors_never_meet_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*arguments: object, **options: object) -> None:
        raise AssertionError

    noisy = np.random.default_rng(0).normal(100, 20, (24, 24))
    before = denoise_image(noisy, 20, options=TINY_AMPLITUDE, device="cpu")
    for name in ("amplitude._explore_on_cpu", "amplitude._sums_on_cpu", "matching._match_on_cpu"):
        monkeypatch.setattr(f"denoise.kernels.{name}", unwanted)
    with pytest.raises(AssertionError), on_path("kernels"):
        denoise_image(noisy, 20, options=TINY_AMPLITUDE, device="cpu")
    with on_path("plain"):
        plain = denoise_image(noisy, 20, options=TINY_AMPLITUDE, device="cpu")
    assert np.abs(plain.image - before.image).max() < 0.1


def test_kernels_are_back_even_after_a_failure() -> None:
    values = torch.zeros(2, 2)
    with pytest.raises(ZeroDivisionError), on_path("plain"):
        assert implementation(values, "numba") == "plain"
        raise ZeroDivisionError
    assert implementation(values, "numba") == "numba"


def match() -> None:
    match_patches(torch.zeros(9, 9), 2, group_size=4, window=3, stride=4)


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_kernels_are_launched_with_other_numbers_of_warps() -> None:
    launches: list[Launch] = []
    with recorded("", launches), on_path("2 warps"):
        match()
    assert [launch.options["num_warps"] for launch in launches] == [2]


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_a_path_that_cannot_be_taken_is_left_out() -> None:
    from triton.errors import TritonError

    def too_large(kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
        raise TritonError("out of resources")

    work, device = Work(1, 1.0, 1.0), torch.device("cpu")
    with use("triton"), launches_handed_to(too_large):
        assert stages.time_stage("match", match, work, device, ["2 warps"], kernels=True) == []
        with pytest.raises(TritonError):
            stages.time_stage("match", match, work, device, ["kernels"], kernels=True)


def test_both_paths_are_compared_where_both_were_taken() -> None:
    def run(side: int, path: str, seconds: float, elbo: float, psnr: float) -> WholeRun:
        return WholeRun(side, path, {"train": seconds, "rebuild": 0, "refine": 0}, 1, elbo, psnr)

    runs = [
        run(256, "kernels", 1, -100, 30),
        run(512, "kernels", 4, -100, 31),
        run(512, "plain", 20, -100.1, 31.005),
        run(1024, "plain", 20, -500, 90),
    ]
    said = comparison(runs)
    assert "0.0050 dB" in said
    assert "1.0e-03" in said
    assert "5.0 at size 512" in said
    assert "1024" not in said
    assert "No size" in comparison(runs[:1])


def test_a_process_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = whole_runs.Setting("balanced", TINY_AMPLITUDE, 25, 1, torch.device("cpu"))
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(whole_runs.subprocess.CalledProcessError):
        whole_runs.process_seconds(np.full((8, 8), 100, np.float32), setting)


def test_squares_of_any_size_come_from_one_image() -> None:
    clean = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(whole_runs.tile(clean, 2), clean[:2, :2])
    assert whole_runs.tile(clean, 9).shape == (9, 9)
    assert np.array_equal(
        whole_runs.tile(clean, 6)[3:], clean[::-1].repeat(1, 0)[:, [0, 1, 2, 3, 3, 2]]
    )


def test_work_is_counted_for_the_states_that_are_there() -> None:
    """Two states with 1 and 3 latents on, a = 2, of H = 10; one place of three is empty."""
    active = torch.full((1, 3, 4), 10, dtype=torch.int16)
    active[0, 0, 0], active[0, 1, :3] = 4, torch.tensor([1, 2, 3])
    sets = SparseStates(active, torch.tensor([[0.0, -1.0, -torch.inf]]), 10)
    solving = 2 * 8 + 4 * 2
    assert amplitude_stages._search_work(sets, expansions=5) == Work(
        patches=1,
        operations=3 * solving + 5 * (solving + 10 * (4 + 8 + 6)),
        moved=4 * 10 + 2 * (2 * 12 + 4 * 3),
        scored=5 * 10,
    )


def test_sums_means_and_variances_are_counted_for_all_places() -> None:
    model = make_amplitude_vae(10, 6)
    sets = no_latents_on(2, 10, 4, torch.zeros(3))  # so that only the matrix products are left
    lists = 2 * 2 * 4 + 4 * 2
    assert amplitude_stages._sums_work(model, sets) == Work(
        3, 3 * 2 * 10 * 6, 3 * (4 * 6 + 12 * 10 + lists)
    )
    assert amplitude_stages._means_work(model, sets) == Work(
        3, 3 * 2 * 10 * 6, 3 * (8 * 6 + 12 * 10 + lists)
    )
    assert amplitude_stages._variances_work(model, sets) == Work(
        3, 3 * 2 * 10 * 6, 3 * (16 * 6 + 12 * 10 + 2 * lists)
    )
    assert amplitude_stages._solve_work(model) == Work(
        0, 1000 / 3 + 2 * 100 * 6, 4 * 10 * (10 + 2 * 6)
    )


def test_matching_is_counted_for_places_inside_the_image() -> None:
    image, size, window = torch.rand(9, 14, generator=torch.Generator().manual_seed(0)), 3, 2
    groups = match_patches(image, size, group_size=9, window=window, stride=2)
    grid = PatchGrid((9, 14, 1), size, image.device)
    places = 0
    for own in groups[:, 0].tolist():
        row, column = divmod(own, grid.columns)
        places += sum(
            abs(other // grid.columns - row) <= window
            and abs(other % grid.columns - column) <= window
            for other in range(len(grid))
        )
    assert refinement_stages._match_work(groups, grid, window) == Work(
        len(groups), 3 * 9 * places, 4 * 9 * 14 + 8 * groups.numel(), places
    )


def test_filters_and_merging_are_counted_by_hand() -> None:
    wide = torch.zeros(2, 3, 4)
    assert refinement_stages._filter_work(wide).operations == 2 * (8 * 3 * 16 + 4 * 64)
    grid = PatchGrid((5, 7, 1), 2, wide.device)
    assert refinement_stages._merge_work(wide, grid) == Work(
        2, 3 * 24, 4 * 24 + (8 + 4) * 6 + 2 * 16 * 5 * 7
    )


def test_the_binding_limit_is_the_one_that_takes_longer() -> None:
    limits = Limits(bandwidth=100.0, arithmetic=1000.0)
    for work in (Work(1, 1000.0, 50.0), Work(1, 500.0, 100.0)):
        assert StageTime("search", "plain", 2.0, work).share_of(limits) == 0.5


def test_what_is_not_counted_is_left_out_of_the_table() -> None:
    table = stages.stage_table(
        [StageTime("solve", "plain", 2.0, Work(0, 4e9, 8e9))], Limits(1e10, 1e10)
    )
    assert table.splitlines()[-1] == "| solve | plain |  | 2000.00 |  |  | 2 | 4 | 40.0 % |"


def test_work_with_the_published_decoder_is_counted_by_hand() -> None:
    """Two patches with two states each, a = 1, of H = 9; F = 5, D = 6; 2 times 3 children."""
    model = make_mlp_vae(9, 6, hidden=(5,))
    patches = Patches.from_raw(torch.zeros(2, 6), torch.arange(2))
    states = torch.zeros(2, 2, 9, dtype=torch.bool)
    states[:, 0, :2] = True
    start = LatentStates(states, torch.zeros(2, 2))
    search = SearchOptions(states=2, parents=2, children=3, mutation="random")
    assert mlp_stages._search_work(model, patches, start, search) == Work(
        patches=2,
        operations=2 * (2 * (10 + 60) + 2 * 10 + 6 * (10 + 60)),
        moved=2 * (4 * 6 + 2 * (2 + 6) * (2 + 4)),
        scored=2 * 6,
    )
    assert mlp_stages._gradient_work(model, patches, start) == Work(
        2, 2 * 2 * (20 + 180), 2 * (4 * 6 + 2 * (2 + 4))
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ("--preset", "magic"),
        ("--sizes", "abc"),
        ("--device", "tpu"),
        ("--warps", "2"),
        ("--sizes", "0"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(wrong: tuple[str, str]) -> None:
    app = Typer()
    app.command()(command.main)
    done = CliRunner().invoke(app, ["--device", "cpu", *wrong])
    assert done.exit_code == 2
    assert "Measured" not in done.output
