"""Files of several images, and what the command reports of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tifffile
from conftest import run_cli, step_image

from denoise.files.samples import to_8bit

SIGMA = ["--sigma", "20"]


def noisy_stack(*shape: int, sigma: float = 20, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return to_8bit(step_image() + generator.normal(0, sigma, (*shape, *step_image().shape)))


def write_stack() -> None:
    """A time lapse of two channels in the working folder, as ImageJ writes it."""
    arguments = {"imagej": True, "metadata": {"axes": "TCYX", "unit": "um", "finterval": 0.5}}
    tifffile.imwrite("stack.tif", noisy_stack(3, 2), resolution=(5.0, 5.0), **arguments)


def report(*arguments: str) -> dict[str, Any]:
    code, stdout, stderr = run_cli(*arguments, "--json")
    assert code == 0, stderr
    found: dict[str, Any] = json.loads(stdout)
    return found
