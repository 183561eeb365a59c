"""The benchmark: its protocol, resuming and reports, and every method on tiny images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import step_image
from typer.testing import CliRunner

from denoise.benchmark.datasets import clean_images
from denoise.benchmark.protocol import Damage, Protocol, sha256
from denoise.benchmark.runner import Benchmark
from denoise.cli.benchmark import app
from denoise.cli.benchmark_options import BenchmarkOptions
from denoise.cli.benchmark_run import _method_names
from denoise.errors import ImageError, OptionError
from denoise.files.images import read_image, write_image
from denoise.methods import classic
from denoise.methods.table import METHODS, Method, methods_by_name
from denoise.methods.vaes.other_vaes import DEFAULTS
from denoise.methods.zs_n2n import ZSN2NOptions
from denoise.noise.gaussian import GaussianNoise
from denoise.pipeline.results import DenoiseResult
from denoise.pipeline.run import Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tiny clean images, gray and RGB."""
    monkeypatch.chdir(tmp_path)
    clean = step_image(20, 24)
    write_image(Path("clean/a.png"), clean, overwrite=False)
    write_image(Path("clean/b.png"), np.stack([clean, clean / 2, 200 - clean], -1), overwrite=False)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["--images", "clean", "--device", "cpu", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_same_command_gives_the_same_numbers_in_every_report(folder: Path) -> None:
    files = ("--json", "r.json", "--csv", "r.csv", "--markdown", "r.md", "--plot", "p.png")
    arguments = ("--methods", "noisy,blur,tv", "--sigmas", "10,25", "--seeds", "2")
    code, stdout, _ = run(*arguments, *files, "--keep-images", "kept", "--sheet", "s.png")
    assert code == 0
    saved = json.loads(Path("r.json").read_text())
    assert saved["images"]["a.png"] == sha256(Path("clean/a.png").read_bytes())
    rows = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert len(rows) == len(saved["cells"]) == 2 * 3 * 2 * 2
    first = saved["cells"][0]
    assert float(rows[0]["psnr"]) == first["psnr"]
    assert f"| noisy | a.png | sigma 10 | {first['psnr']:.2f} |" in stdout
    assert "neither clipped nor rounded" in Path("r.md").read_text()
    assert read_image(Path("p.png")).channels == 3
    assert read_image(Path("s.png")).pixels.shape[1] > 4 * 256  # clean and three methods
    assert len(list(Path("kept").iterdir())) == len(rows)
    assert first["memory"] is None or first["memory"] > 0.01
    run(*arguments, "--json", "again.json")
    again = json.loads(Path("again.json").read_text())
    assert [one["psnr"] for one in again["cells"]] == [one["psnr"] for one in saved["cells"]]


def test_protocols_differ_in_clipping_only_and_noise_is_seeded() -> None:
    clean = np.full((50, 50), 5, np.float32)
    plain = Protocol("unclipped").damaged(clean, Damage(20), number=1, repeat=0)
    clipped = Protocol("clipped8").damaged(clean, Damage(20), number=1, repeat=0)
    assert np.array_equal(np.clip(np.rint(plain), 0, 255), clipped)
    expected = clean + 20 * np.random.default_rng(1).standard_normal(clean.shape)
    assert np.array_equal(plain, expected)
    assert not np.array_equal(
        plain, Protocol("unclipped").damaged(clean, Damage(20), number=1, repeat=1)
    )
    with pytest.raises(OptionError, match="unclipped or clipped8"):
        Protocol("dirty")


def test_finished_cells_are_not_run_again_and_failed_ones_are(folder: Path) -> None:
    calls: list[str] = []

    def denoise(name: str, image: np.ndarray, sigma: float, run: Run) -> DenoiseResult:
        calls.append("run")
        if len(calls) == 2:
            raise ImageError("out of luck")
        return DenoiseResult(
            image, GaussianNoise(sigma), {}, run.device, run.seed, diagnostics={"answer": 42.0}
        )

    work = Benchmark(
        clean_images("clean"),
        [Method("m", "classic", denoise)],
        [Damage(10.0)],
        Protocol(),
        device="cpu",
    )
    cells = list(work.cells())
    assert [cell.error for cell in cells] == [None, "out of luck"]
    again = list(work.cells(cells))
    assert len(calls) == 3
    assert again[0] == cells[0]
    assert again[1].error is None
    assert again[1].details == {"answer": 42.0}


def test_resuming_needs_the_same_conditions(folder: Path) -> None:
    arguments = ("--methods", "noisy", "--json", "r.json")
    assert run(*arguments)[0] == 0
    before = Path("r.json").read_text()
    assert run(*arguments, "--resume")[0] == 0
    assert Path("r.json").read_text() == before  # the seconds too: nothing was run
    code, _, stderr = run(*arguments, "--resume", "--protocol", "clipped8")
    assert code == 2
    assert "made with protocol 'unclipped', not 'clipped8'" in " ".join(stderr.split())
    assert run("--methods", "noisy", "--resume")[0] == 2
    code, _, stderr = run(*arguments, "--resume", "--limit", "1")
    assert (code, len(stderr) < 1500) == (2, True)


def test_a_method_that_fails_is_reported_as_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: np.ndarray, sigma: float, seed: int) -> np.ndarray:
        raise OptionError("bm3d needs a package")

    monkeypatch.setitem(classic.FILTERS, "bm3d", fail)
    code, stdout, _ = run("--methods", "noisy,bm3d", "--plot", "p.png")
    assert code == 1
    assert "| bm3d | a.png | sigma 25 | failed: bm3d needs a package |" in stdout
    assert "| bm3d | failed |" in stdout


def test_unknown_names_are_usage_mistakes(folder: Path) -> None:
    code, _, stderr = run("--methods", "magic")
    assert (code, "there is no method 'magic'; choose from fast" in " ".join(stderr.split())) == (
        2,
        True,
    )
    assert run("--images", "nowhere")[0] == 2
    assert run("--sigmas", "ten")[0] == 2
    Path("empty").mkdir()
    code, _, stderr = run("--images", "empty")
    assert code == 1
    assert stderr.startswith("error: empty: holds no image")


@pytest.fixture
def quick_methods(monkeypatch: pytest.MonkeyPatch, tiny_preset: None, small_vaes: None) -> None:
    """Every method that learns does so for a moment only."""
    monkeypatch.setattr("denoise.methods.zs_n2n.DEFAULT_OPTIONS", ZSN2NOptions(steps=20))


@pytest.mark.usefixtures("quick_methods")
@pytest.mark.parametrize("name", [*DEFAULTS, "vae", "vae-mlp"])
def test_every_vae_runs_and_tells_how_it_went(name: str) -> None:
    noisy = step_image() + np.random.default_rng(0).normal(0, 20, (24, 24))
    (method,) = methods_by_name([name])
    result = method.denoise(noisy, 20.0, Run(data_range=255, device="cpu"))
    assert result.image.shape == noisy.shape
    assert result.diagnostics
    assert all(np.isfinite(value) for value in result.diagnostics.values())
    assert {"-ELBO", "loss"} & {*result.diagnostics}


@pytest.mark.usefixtures("quick_methods")
def test_the_whole_benchmark_with_all_methods(folder: Path) -> None:
    files = ("--json", "r.json", "--csv", "r.csv", "--markdown", "r.md", "--plot", "p.png")
    run("--methods", ",".join(METHODS), *files, "--keep-images", "kept", "--sheet", "s.png")
    saved = json.loads(Path("r.json").read_text())
    assert {(cell["method"], cell["image"]) for cell in saved["cells"]} == {
        (method, image) for method in METHODS for image in ("a.png", "b.png")
    }
    optional = {"bm3d", "wavelet"}  # the packages that these need may be missing
    failed = {cell["method"] for cell in saved["cells"] if cell["error"] is not None}
    assert failed <= optional
    for cell in saved["cells"]:
        assert (cell["psnr"] is None) == (cell["method"] in failed)
    report = Path("r.md").read_text()
    rows = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert all(f"| {method} |" in report for method in METHODS)
    digest = sha256(Path("clean/a.png").read_bytes())
    assert digest[:12] in report
    assert rows[0]["sha256"] == digest
    assert "denoise " in rows[0]["machine"]
    assert "## Where we lose" in report
    assert "![](p.png)" in report
    assert any(digest[:12] in line for line in saved["description"])
    for picture in ("p.png", "s.png"):
        assert read_image(Path(picture)).pixels.std() > 10


def test_presets_are_added_to_the_methods(folder: Path) -> None:
    assert _method_names(BenchmarkOptions(methods="tv", presets="best")) == ["tv", "best"]
    assert _method_names(BenchmarkOptions(presets="best")) == [
        "noisy",
        "blur",
        "tv",
        "nl-means",
        "best",
    ]
    assert _method_names(BenchmarkOptions())[-2:] == ["fast", "balanced"]
    for wrong in (("--presets", "magic"), ("--presets", "tv"), ("--methods", " , ")):
        assert run(*wrong)[0] == 2
    assert run("--methods", "noisy", "--presets", "magic")[0] == 2


def test_images_of_one_name_in_several_folders_are_told_apart(folder: Path) -> None:
    write_image(Path("more/a.png"), step_image(20, 24)[::-1].copy(), overwrite=False)
    arguments = ("--images", "*/a.png", "--methods", "noisy", "--json", "r.json")
    assert run(*arguments, "--keep-images", "kept")[0] == 0
    cells = json.loads(Path("r.json").read_text())["cells"]
    assert [cell["image"] for cell in cells] == ["clean/a.png", "more/a.png"]
    assert len(list(Path("kept").iterdir())) == 2
    _, stdout, _ = run(*arguments, "--resume")
    assert all(f"{cell['psnr']:.2f}" in stdout for cell in cells)
