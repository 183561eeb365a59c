"""How long a run takes, and how near its search comes to the limits of the machine.

`python -m denoise.benchmarks.speed` prints Markdown tables: whole runs on squares of several
sizes, stage by stage, and the E-step and M-step on one chunk of patches (`stages.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from denoise.benchmarks.datasets import sample_images
from denoise.benchmarks.memory import watch_memory
from denoise.benchmarks.perceptron_stages import PublishedTraining, measure_published_training
from denoise.benchmarks.protocol import machine
from denoise.benchmarks.stages import Limits, StageTime, measure_limits, measure_stages
from denoise.devices import describe_device, pick_device
from denoise.errors import DenoiseError
from denoise.images import read_image
from denoise.metrics import psnr
from denoise.noise import add_gaussian_noise
from denoise.options import DenoiseOptions
from denoise.outputs import write_atomically
from denoise.patches import Patches, PatchGrid
from denoise.pipeline import denoise_image
from denoise.presets import DEFAULT_PRESET, preset
from denoise.results import STAGES, DenoiseResult


def main(
    *,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    sizes: Annotated[str, typer.Option(help="Sides of the squares, in pixels.")] = "256",
    image: Annotated[
        Path | None, typer.Option(help="Clean gray image; else the camera of scikit-image.")
    ] = None,
    sigma: Annotated[float, typer.Option(help="Noise level on 0..255.")] = 25,
    preset_name: Annotated[str, typer.Option("--preset")] = DEFAULT_PRESET,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 1,
    plain: Annotated[bool, typer.Option(help="Also time the search through plain tensors.")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="All numbers.")] = None,
) -> None:
    """Print the tables for one machine."""
    try:
        compute_device = pick_device(device)
        clean = sample_images()[0].pixels if image is None else read_image(image).pixels
        sides = [int(size) for size in sizes.split(",")]
        options = preset(preset_name, sigma)
    except (DenoiseError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    if clean.ndim != 2 or options.model.decoder != "amplitude":
        raise typer.BadParameter("give a gray image, and a preset of the amplitude model")
    limits = measure_limits(compute_device)
    typer.echo(f"{machine()}; {describe_device(compute_device)}.\n")
    typer.echo(_limits_line(limits) + "\n")
    typer.echo("| size | train s | rebuild s | refine s | all s | pixels/s | GB | PSNR dB |")
    typer.echo("|---" * 8 + "|")
    runs, results = [], []
    for side in sides:
        result, run = run_once(tile(clean, side), sigma, seed, options, compute_device)
        results.append(result)
        runs.append(run)
        typer.echo(_run_row(run))
    noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(seed))
    stages = time_stages(results[0], noisy, compute_device, plain=plain)
    typer.echo("\n" + stage_table(stages, limits))
    image_on_device = torch.as_tensor(noisy, device=compute_device)[..., None]
    published = measure_published_training(image_on_device, sigma)
    typer.echo("\n" + _published_line(published) + "\n")
    typer.echo(stage_table(published.stages, limits))
    if json_file is not None:
        found = {"machine": machine(), "device": describe_device(compute_device)}
        numbers = {
            "limits": asdict(limits),
            "runs": runs,
            "stages": [asdict(stage) for stage in stages],
            "published": asdict(published),
        }
        write_atomically(json_file, json.dumps(found | numbers, indent=1).encode())


def tile(clean: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A square of the image, repeated by reflection as often as it takes."""
    missing = [(0, max(side - length, 0)) for length in clean.shape[:2]]
    whole: NDArray[np.float32] = np.pad(clean, missing, mode="symmetric")
    return whole[:side, :side]


def run_once(
    clean: NDArray[np.float32],
    sigma: float,
    seed: int,
    options: DenoiseOptions,
    device: torch.device,
) -> tuple[DenoiseResult, dict[str, Any]]:
    """A whole run after a short one, so that nothing is compiled in it; its result and numbers."""
    noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(seed))
    denoise_image(noisy[:64, :64], sigma, options=options, device=str(device))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with watch_memory() as peak:
        result = denoise_image(noisy, sigma, options=options, device=str(device))
    memory = peak.gigabytes
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device) / 1e9
    total = sum(result.seconds.values())
    numbers = {
        "side": clean.shape[0],
        **result.seconds,
        "all": total,
        "pixels_per_second": clean.size / total,
        "gigabytes": memory,
        "psnr": psnr(clean, result.image),
    }
    return result, numbers


def time_stages(
    result: DenoiseResult, noisy: NDArray[np.float64], device: torch.device, *, plain: bool
) -> list[StageTime]:
    """E-step and M-step of the last learned model on one chunk of the image's patches."""
    vae = result.models[-1]
    pixels = torch.as_tensor(noisy / vae.scale, dtype=torch.float32, device=device)[..., None]
    grid = PatchGrid((*noisy.shape[:2], 1), vae.patch_size, device)
    index = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))
    index = index[: result.options.inference.chunk_size].to(device)
    patches = Patches.from_raw(grid.extract(pixels, index), index)
    return measure_stages(vae, patches, result.options, plain=plain)


def stage_table(stages: Sequence[StageTime], limits: Limits) -> str:
    """Markdown table of the stages and of what share of the binding limit they reach."""
    lines = [
        "| stage | path | patches | ms | patches/s | scored/s | GFLOP/s | GB/s | of the limit |",
        "|---" * 9 + "|",
    ]
    for one in stages:
        lines.append(
            f"| {one.stage} | {one.path} | {one.patches} | {1000 * one.seconds:.2f} |"
            f" {one.patches / one.seconds:.3g} | {one.scored / one.seconds:.3g} |"
            f" {one.operations / one.seconds / 1e9:.3g} | {one.moved / one.seconds / 1e9:.3g} |"
            f" {100 * one.share_of(limits):.1f} % |"
        )
    return "\n".join(lines)


def _limits_line(limits: Limits) -> str:
    return (
        f"Measured limits: copies {limits.bandwidth / 1e9:.0f} GB/s, float32 matrix products"
        f" {limits.arithmetic / 1e9:.0f} GFLOP/s."
    )


def _published_line(published: PublishedTraining) -> str:
    return (
        f"The published decoder, trained with the published settings ({published.epochs} epochs on"
        f" {published.patches} patches), would take {published.seconds:.3g} s. One step:"
    )


def _run_row(run: dict[str, Any]) -> str:
    seconds = " | ".join(f"{run[stage]:.1f}" for stage in (*STAGES, "all"))
    memory = "" if run["gigabytes"] is None else f"{run['gigabytes']:.2f}"
    speed, quality = f"{run['pixels_per_second']:.3g}", f"{run['psnr']:.2f}"
    return f"| {run['side']} | {seconds} | {speed} | {memory} | {quality} |"


if __name__ == "__main__":
    typer.run(main)
