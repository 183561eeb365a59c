"""The progress that a run reports."""

from __future__ import annotations

import pytest

from denoise.cli.progress import show_progress
from denoise.pipeline.results import Progress

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
