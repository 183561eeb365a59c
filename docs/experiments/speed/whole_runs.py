"""Whole runs on squares of one image: seconds, memory, ELBO and PSNR, on both paths."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from denoise.benchmark.memory import watch_memory
from denoise.files.images import write_image
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.options import DenoiseOptions
from denoise.pipeline.image import denoise_image
from denoise.pipeline.results import STAGES, DenoiseResult
from speed.paths import PATHS, on_path

RUN_HEADER = (
    "| size | path | train s | rebuild s | refine s | all s | pixels/s | GB | ELBO | PSNR dB |\n"
    + "|---" * 10
    + "|"
)


@dataclass(frozen=True)
class Setting:
    """What all runs have in common; `seed` is that of the noise."""

    preset: str
    options: DenoiseOptions
    sigma: float
    seed: int
    device: torch.device

    def noisy(self, clean: NDArray[np.float32]) -> NDArray[np.float64]:
        """The image with noise."""
        return add_gaussian_noise(clean, self.sigma, generator=np.random.default_rng(self.seed))


@dataclass(frozen=True)
class WholeRun:
    """Numbers of one run.

    Attributes
    ----------
    side : of the square, in pixels
    path : "kernels" or "plain"
    seconds : of each stage
    gigabytes : peak memory, of the GPU if it runs there; None if unknown
    elbo : of the last epoch of the last model, in nats per patch
    psnr : in dB
    """

    side: int
    path: str
    seconds: dict[str, float]
    gigabytes: float | None
    elbo: float
    psnr: float

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def row(self) -> str:
        """A row of the Markdown table that `RUN_HEADER` begins."""
        seconds = " | ".join(f"{self.seconds[stage]:.2f}" for stage in STAGES)
        memory = "" if self.gigabytes is None else f"{self.gigabytes:.2f}"
        speed = f"{self.side**2 / self.total:.3g}"
        return (
            f"| {self.side} | {self.path} | {seconds} | {self.total:.2f} | {speed} | {memory} |"
            f" {self.elbo:.4f} | {self.psnr:.3f} |"
        )


def tile(clean: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A square of the image, repeated by reflection as often as it takes."""
    missing = [(0, max(side - length, 0)) for length in clean.shape[:2]]
    whole: NDArray[np.float32] = np.pad(clean, missing, mode="symmetric")
    return whole[:side, :side]


def whole_run(
    clean: NDArray[np.float32], setting: Setting, path: str
) -> tuple[DenoiseResult, WholeRun]:
    """A run after a short one, so that nothing is compiled in it; its result and numbers."""
    noisy, device = setting.noisy(clean), setting.device

    def denoise(pixels: NDArray[np.float64]) -> DenoiseResult:
        return denoise_image(pixels, setting.sigma, options=setting.options, device=str(device))

    with on_path(path):
        denoise(noisy[:64, :64])
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with watch_memory() as peak:
            result = denoise(noisy)
    memory = peak.gigabytes
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device) / 1e9
    elbo = result.models[-1].history[-1].elbo
    quality = psnr(clean, result.image)
    return result, WholeRun(len(clean), path, result.seconds, memory, elbo, quality)


def process_seconds(clean: NDArray[np.float32], setting: Setting) -> float:
    """Seconds of the command as a whole process, from its start to the written file."""
    with tempfile.TemporaryDirectory() as folder:
        noisy = Path(folder) / "noisy.png"
        write_image(noisy, setting.noisy(clean), overwrite=False)
        command = [sys.executable, "-m", "denoise", str(noisy), "--quiet"]
        command += ["--sigma", str(setting.sigma), "--preset", setting.preset]
        command += ["--device", str(setting.device)]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        return time.perf_counter() - started


def comparison(runs: Sequence[WholeRun]) -> str:
    """How far apart both paths are, in words, for the sizes that took both."""
    fast, plain = ({run.side: run for run in runs if run.path == path} for path in PATHS)
    pairs = [(fast[side], plain[side]) for side in fast if side in plain]
    if not pairs:
        return "No size was denoised on both paths (see --plain-sizes)."
    psnr_apart = max(abs(one.psnr - other.psnr) for one, other in pairs)
    elbo_apart = max(abs(one.elbo / other.elbo - 1) for one, other in pairs)
    times = ", ".join(f"{other.total / one.total:.1f} at size {one.side}" for one, other in pairs)
    return (
        f"Kernels and plain tensors: PSNR at most {psnr_apart:.4f} dB apart, ELBO at most"
        f" {elbo_apart:.1e} (relative). Plain tensors take longer by a factor of {times}."
    )
