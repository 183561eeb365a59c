"""What the parser makes of the options: help in sections, and completion in shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from denoise.cli.main import app

HELP_SECTIONS = [
    "Input and output:",
    "Noise:",
    "Quality and time:",
    "Learning:",
    "Reports:",
    "General:",
]


def run(*arguments: str, **environment: str) -> str:
    """What the command prints, in a process of its own."""
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join([environment.pop("PYTHONPATH", ""), root])
    result = subprocess.run(
        [sys.executable, "-m", "denoise", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "PYTHONPATH": paths, "COLUMNS": "80"},
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def complete(*words: str) -> list[str]:
    """What bash is offered for the last word of a command line, by this process."""
    line = {"COMP_WORDS": "\n".join(["denoise", *words]), "COMP_CWORD": str(len(words))}
    environment = {"_DENOISE_COMPLETE": "complete_bash", **line}
    result = CliRunner().invoke(app, prog_name="denoise", env=environment)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split()


def test_help_has_sections_and_fits_into_80_columns() -> None:
    lines = run("--help").splitlines()
    assert [line for line in lines if line.endswith(":") and line[0] != " "] == HELP_SECTIONS
    assert max(map(len, lines)) <= 80
    names = [line.split()[0].rstrip(",") for line in lines if line.startswith("  -")]
    assert len(set(names)) == len(names) == 48
    sections = run("benchmark", "--help").splitlines()
    assert [line for line in sections if line.endswith(":") and line[0] != " "] == [
        "Input and output:",
        "Noise:",
        "Methods:",
        "Reports:",
        "General:",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--pres",), ["--preset"]),
        (("photo.png", "--preset", ""), ["fast", "balanced", "best", "paper"]),
        (("--noise", "p"), ["poisson-gaussian"]),
        (("--decoder", ""), ["amplitude", "mlp"]),
        (("--model", "gm-v"), ["gm-vae", "gm-vae-encoder"]),
        (("benchmark", "--proto"), ["--protocol"]),
        (("benchmark", "--protocol", ""), ["unclipped", "clipped8"]),
        (("be",), ["benchmark"]),
        (("in",), ["info"]),
        (("fin",), ["finish"]),
        (("info", "--fig"), ["--figure"]),
        # The shell lists files where nothing is offered.
        (("pho",), []),
        (("photo.png", "be"), []),
        (("photo.png", ""), []),
        (("photo.png", "--output", "pho"), []),
    ],
)
def test_bash_completes_options_choices_and_files(
    words: tuple[str, ...], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.png").touch()
    assert complete(*words) == expected


def test_zsh_and_fish_complete_too() -> None:
    line = {"_TYPER_COMPLETE_ARGS": "denoise --preset b", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert run(_DENOISE_COMPLETE="complete_zsh", **line).count('"b') == 2
    assert run(_DENOISE_COMPLETE="complete_fish", **line).split() == ["balanced", "best"]
    for shell in ("bash", "zsh", "fish"):
        assert f"_DENOISE_COMPLETE=complete_{shell}" in run(_DENOISE_COMPLETE=f"source_{shell}")


def test_help_and_completion_load_no_large_library(tmp_path: Path) -> None:
    for name in ("torch", "numpy", "scipy", "skimage", "rich"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} is loaded')")
    without = {"PYTHONPATH": str(tmp_path)}
    assert "--preset" in run("--help", **without)
    assert "--protocol" in run("benchmark", "--help", **without)
    assert "--figure" in run("info", "--help", **without)
    assert "--shard" in run("finish", "--help", **without)
    line = {"COMP_WORDS": "denoise\n--pres", "COMP_CWORD": "1"}
    assert run(_DENOISE_COMPLETE="complete_bash", **line, **without) == "--preset\n"
