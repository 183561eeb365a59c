"""Runs of `denoise info` and of the commands that it prints."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from conftest import run_cli, step_image
from image_samples import pillow_bytes
from typer.testing import CliRunner

from denoise.cli.main import app
from denoise.files.samples import to_8bit

QUICK = ("--preset", "fast", "--epochs", "1", "--training-patches", "512", "--json")


def noisy_image(side: int = 48, sigma: float = 12.0) -> np.ndarray:
    noise = np.random.default_rng(side).standard_normal((side, side))
    return to_8bit(step_image(side, side) + sigma * noise)


def noisy_png(name: str) -> Path:
    path = Path(name)
    path.write_bytes(pillow_bytes(noisy_image(), "PNG"))
    return path


def info(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `denoise info`."""
    result = CliRunner().invoke(app, ["info", "--device", "cpu", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def facts(*arguments: str) -> dict[str, Any]:
    code, stdout, stderr = info("--json", *arguments)
    assert (code, stderr) == (0, "")
    found: dict[str, Any] = json.loads(stdout)
    return found


def follow(command: str) -> dict[str, Any]:
    """What a run reports of the command that was printed."""
    program, *words = shlex.split(command)
    assert program == "denoise"
    code, stdout, stderr = run_cli(*words, *QUICK)
    assert code == 0, stderr
    report: dict[str, Any] = json.loads(stdout)
    return report


def lines(text: str) -> dict[str, str]:
    """Names and values, without the line of the file."""
    return dict(line.split(maxsplit=1) for line in text.splitlines()[1:])
