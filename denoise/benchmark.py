"""Measure quality and time on clean images: `python -m denoise.benchmark IMAGE...`.

Protocol: white Gaussian noise, neither clipped nor rounded, drawn in float64 by
`numpy.random.default_rng(seed)`, one seed per image; PSNR and SSIM of the float
result on the 0..255 scale; seconds of the library call, in a warm process.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import typer

from denoise import __version__
from denoise.devices import describe_device, pick_device
from denoise.images import read_image
from denoise.metrics import psnr, ssim
from denoise.noise import add_gaussian_noise
from denoise.options import Decoder, DenoiseOptions
from denoise.pipeline import denoise_image
from denoise.presets import DEFAULT_PRESET, override, preset
from denoise.progress import show_progress
from denoise.results import Progress


@dataclass(frozen=True)
class Measurement:
    """One image at one noise level: dB, SSIM, learned sigma, seconds."""

    psnr_noisy: float
    psnr: float
    ssim: float
    learned_sigma: float
    seconds: float

    def row(self, name: str, sigma: float) -> str:
        """Line of the Markdown table."""
        return (
            f"| {name} | {sigma:g} | {self.psnr_noisy:.2f} | {self.psnr:.2f} | {self.ssim:.4f}"
            f" | {self.learned_sigma:.2f} | {self.seconds:.1f} |"
        )


def measure(
    path: Path,
    sigma: float,
    *,
    noise_seed: int,
    options: DenoiseOptions,
    seed: int,
    device: str,
    on_progress: Callable[[Progress], None],
) -> Measurement:
    """Add noise to a clean image, remove it, and compare."""
    clean = read_image(path).pixels
    noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(noise_seed))
    started = time.perf_counter()
    result = denoise_image(
        noisy, sigma, options=options, seed=seed, device=device, on_progress=on_progress
    )
    seconds = time.perf_counter() - started
    similarity = ssim(clean, result.image)
    return Measurement(
        psnr_noisy=psnr(clean, noisy),
        psnr=psnr(clean, result.image),
        ssim=float("nan") if similarity is None else similarity,
        learned_sigma=result.learned_sigma,
        seconds=seconds,
    )


def mean_row(measurements: Sequence[Measurement], sigma: float) -> str:
    """Means over images, but the median of the seconds."""
    means = {
        field.name: statistics.mean(getattr(one, field.name) for one in measurements)
        for field in fields(Measurement)
    }
    means["seconds"] = statistics.median(one.seconds for one in measurements)
    return Measurement(**means).row("mean (median seconds)", sigma)


def peak_memory() -> str:
    """Largest resident size so far, in GB, where the system tells."""
    if sys.platform == "win32":
        return "unknown"
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak / (1e9 if sys.platform == 'darwin' else 1e6):.2f} GB"


def main(
    images: Annotated[list[Path], typer.Argument(help="Clean images.")],
    *,
    sigmas: Annotated[str, typer.Option(help="Noise levels, separated by commas.")] = "25",
    presets: Annotated[str, typer.Option(help="Presets, separated by commas.")] = DEFAULT_PRESET,
    decoder: Annotated[str | None, typer.Option(help="amplitude or mlp.")] = None,
    first_seed: Annotated[
        int, typer.Option(help="Noise seed of the first image; the next one has the next.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the method.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    training_patches: Annotated[int | None, typer.Option(min=1)] = None,
    learn_sigma: Annotated[bool | None, typer.Option("--learn-sigma/--fix-sigma")] = None,
    device: str = "auto",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell every epoch.")] = False,
) -> None:
    """Print a Markdown table of PSNR, SSIM and seconds."""
    typer.echo(
        f"denoise {__version__}, method seed {seed}, noise unclipped with seeds from {first_seed};"
        f" torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads,"
        f" {describe_device(pick_device(device))}\n"
    )
    typer.echo("| preset | image | sigma | noisy dB | PSNR dB | SSIM | learned sigma | seconds |")
    typer.echo("|---|---|---|---|---|---|---|---|")
    for name, sigma in product(presets.split(","), map(float, sigmas.split(","))):
        options = override(
            preset(name, sigma, cast("Decoder | None", decoder)),
            epochs=epochs,
            patch_budget=training_patches,
            learn_noise_variance=learn_sigma,
        )
        measurements = []
        for noise_seed, path in enumerate(images, start=first_seed):
            silent = nullcontext(lambda progress: None)
            with show_progress(every_step=True) if verbose else silent as on_progress:
                measurement = measure(
                    path,
                    sigma,
                    noise_seed=noise_seed,
                    options=options,
                    seed=seed,
                    device=device,
                    on_progress=on_progress,
                )
            typer.echo(f"| {name} {measurement.row(path.name, sigma)}")
            measurements.append(measurement)
        if len(measurements) > 1:
            typer.echo(f"| {name} {mean_row(measurements, sigma)}")
    typer.echo(f"\npeak memory of the process: {peak_memory()}")


if __name__ == "__main__":
    typer.run(main)
