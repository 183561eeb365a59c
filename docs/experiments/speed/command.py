"""The command `PYTHONPATH=docs/experiments python -m speed`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from denoise.benchmark.datasets import sample_images
from denoise.benchmark.protocol import machine
from denoise.devices import describe_device, pick_device
from denoise.errors import DenoiseError
from denoise.files.images import read_image
from denoise.files.outputs import write_atomically
from denoise.pipeline.results import DenoiseResult
from denoise.presets import DEFAULT_PRESET, preset_for
from speed.amplitude_stages import amplitude_stages
from speed.mlp_stages import (
    PublishedTraining,
    measure_published_training,
)
from speed.paths import PATHS, has_kernels
from speed.refinement_stages import refinement_stages
from speed.stages import Limits, StageTime, measure_limits, stage_table
from speed.whole_runs import (
    RUN_HEADER,
    Setting,
    WholeRun,
    comparison,
    process_seconds,
    tile,
    whole_run,
)

# Smallest side of the squares, in pixels: an image needs some patches.
LEAST_SIDE = 16


def main(
    *,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    sizes: Annotated[str, typer.Option(help="Sides of the squares, in pixels.")] = "256",
    plain_sizes: Annotated[
        str, typer.Option(help="Sides of those that are denoised on both paths.")
    ] = "",
    image: Annotated[
        Path | None, typer.Option(help="Clean gray image; else the camera of scikit-image.")
    ] = None,
    sigma: Annotated[float, typer.Option(help="Noise level on 0..255.")] = 25,
    preset_name: Annotated[str, typer.Option("--preset")] = DEFAULT_PRESET,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 1,
    plain: Annotated[bool, typer.Option(help="Also time stages through plain tensors.")] = True,
    warps: Annotated[
        str,
        typer.Option(help="Also time a GPU's kernels with these numbers of warps, such as 1,2,8."),
    ] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="All numbers.")] = None,
) -> None:
    """Print the tables for one machine."""
    try:
        compute_device = pick_device(device)
        clean = sample_images()[0].pixels if image is None else read_image(image).pixels
        sides, plain_sides = _numbers(sizes), _numbers(plain_sizes)
        variants = [f"{count} warps" for count in _numbers(warps)]
        options = preset_for(preset_name, sigma)
    except (DenoiseError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    if clean.ndim != 2 or options.model.decoder != "amplitude" or options.refinement is None:
        raise typer.BadParameter("give a gray image, and a preset of the amplitude model")
    if not sides or min(sides + plain_sides) < LEAST_SIDE:
        raise typer.BadParameter(f"give at least one of --sizes, and none below {LEAST_SIDE}")
    if variants and compute_device.type != "cuda":
        raise typer.BadParameter("--warps is for GPUs")
    if not {*_numbers(warps)} <= {1, 2, 4, 8, 16, 32}:
        raise typer.BadParameter("--warps are powers of two, up to 32")
    _measure(
        _Report(json_file),
        clean,
        Setting(preset_name, options, sigma, seed, compute_device),
        sides,
        plain_sides,
        ("kernels", *variants, *(["plain"] if plain else [])),
    )


class _Report:
    """Prints as it goes, and keeps the numbers in a file, whatever happens later."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._numbers: dict[str, Any] = {}

    def add(self, text: str, **numbers: Any) -> None:
        """Print a piece of Markdown, and keep the numbers in it."""
        typer.echo(text)
        self._numbers |= numbers
        if self._file is not None and numbers:
            write_atomically(self._file, json.dumps(self._numbers, indent=1).encode())


def _measure(
    report: _Report,
    clean: NDArray[np.float32],
    setting: Setting,
    sides: Sequence[int],
    plain_sides: Sequence[int],
    stage_paths: Sequence[str],
) -> None:
    """What takes longest comes last."""
    device = setting.device
    where = describe_device(device)
    report.add(f"{machine()}; {where}.\n", machine=machine(), device=where)
    limits = measure_limits(device)
    report.add(_limits_line(limits) + "\n", limits=asdict(limits))

    first, runs = None, list[WholeRun]()
    paths = PATHS if has_kernels(device) else ("plain",)
    report.add(RUN_HEADER)
    for side in sides:
        result, run = whole_run(tile(clean, side), setting, paths[0])
        first, runs = first or result, [*runs, run]
        report.add(run.row(), runs=[asdict(run) for run in runs])
    assert first is not None
    seconds = process_seconds(tile(clean, sides[0]), setting)
    line = f"\nThe command as a whole process, size {sides[0]}: {seconds:.1f} s.\n"
    report.add(line, process_seconds=seconds)

    stages = _stages(first, tile(clean, sides[0]), setting, stage_paths)
    report.add(stage_table(stages, limits), stages=[asdict(stage) for stage in stages])
    image = torch.as_tensor(setting.noisy(clean), device=device)[..., None]
    published = measure_published_training(image, setting.sigma, stage_paths)
    report.add("\n" + _published_lines(published) + "\n", published=asdict(published))
    report.add(stage_table(published.stages, limits))

    if plain_sides:
        report.add("\n" + RUN_HEADER)
    done = {(run.side, run.path) for run in runs}
    for side, path in product(plain_sides, paths):
        if (side, path) not in done:
            _, run = whole_run(tile(clean, side), setting, path)
            runs = [*runs, run]
            report.add(run.row(), runs=[asdict(run) for run in runs])
    report.add("\n" + comparison(runs))


def _stages(
    result: DenoiseResult, clean: NDArray[np.float32], setting: Setting, paths: Sequence[str]
) -> list[StageTime]:
    """Times of the last learned model and of the refinement, on the image that was denoised."""
    noisy = torch.as_tensor(setting.noisy(clean), dtype=torch.float32, device=setting.device)
    denoised = torch.as_tensor(result.image, device=setting.device)
    assert setting.options.refinement is not None
    stages = amplitude_stages(result.models[-1], noisy[..., None], setting.options, paths)
    return stages + refinement_stages(
        noisy / setting.sigma, denoised / setting.sigma, setting.options.refinement, paths
    )


def _limits_line(limits: Limits) -> str:
    return (
        f"Measured limits: copies {limits.bandwidth / 1e9:.0f} GB/s, float32 matrix products"
        f" {limits.arithmetic / 1e9:.0f} GFLOP/s."
    )


def _published_lines(published: PublishedTraining) -> str:
    paths = "; ".join(
        f"{one.path}, {one.seconds:.3g} s (ELBO {one.elbo:.4f} after three on some patches)"
        for one in published.paths
    )
    return (
        f"The published decoder, trained with the published settings ({published.epochs} epochs on"
        f" {published.patches} patches), would take: {paths}. One step:"
    )


def _numbers(listed: str) -> list[int]:
    """The numbers in a list such as 256,512."""
    return [int(number) for number in listed.split(",") if number]
