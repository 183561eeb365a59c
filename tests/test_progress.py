"""What a run tells on the way, and the benchmark's table."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TINY, step_image
from typer.testing import CliRunner

import denoise.benchmark
from denoise.images import write_image
from denoise.progress import show_progress
from denoise.results import Progress

EVENTS = [Progress("train", n, 10, 7, elbo=-50.0 + n) for n in range(1, 11)]
EVENTS += [Progress("rebuild", n, 400, 7) for n in range(100, 401, 100)]
EVENTS += [Progress("refine", n, 2) for n in (1, 2)]


def test_a_log_gets_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as tell:
        for event in EVENTS:
            tell(event)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    lines = stderr.splitlines()
    assert 8 <= len(lines) <= 11
    assert lines[0].startswith("learning: 7x7 patches, epoch 2/10, ELBO -48.00, ")
    assert lines[-1].startswith("refining: 100 %, ")


def test_a_terminal_gets_a_live_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with show_progress() as tell:
        for event in EVENTS:
            tell(event)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    for part in ("learning", "7x7 patches, epoch 10/10, ELBO -40.00", "rebuilding", "100 %"):
        assert part in stderr


def test_benchmark_prints_a_row_per_image_and_a_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoise.benchmark, "preset", lambda name, sigma, decoder: TINY)
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, step_image(), overwrite=False)
    app = denoise.benchmark.typer.Typer()
    app.command()(denoise.benchmark.main)
    arguments = [str(tmp_path / name) for name in ("a.png", "b.png")]
    result = CliRunner().invoke(app, [*arguments, "--sigmas", "10,20", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows[1:]] == ["a.png", "b.png", "mean (median seconds)"] * 2
    assert [row[2] for row in rows[1:]] == ["10"] * 3 + ["20"] * 3
    for first, second, mean in (rows[1:4], rows[4:7]):
        for column in (3, 4):
            expected = (float(first[column]) + float(second[column])) / 2
            assert float(mean[column]) == pytest.approx(expected, abs=0.011)
