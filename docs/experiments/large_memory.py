"""Largest resident size and time of whole runs on large synthetic images and stacks. Linux only.

Behind the tables of docs/large.md and docs/series.md. `--quick` has the same stages and tiles with
little work in each, so that large images can be tried.

    PYTHONPATH=docs/experiments python -m large_memory --sizes 2048x2048,4096x3072 --quick
    PYTHONPATH=docs/experiments python -m large_memory --sizes 4096x3072,8192x3072 --quick --rows
    PYTHONPATH=docs/experiments python -m large_memory --sizes 256x256 --frames 20,100
    PYTHONPATH=docs/experiments python -m large_memory --sizes 2048x2048 --frames 3 --rows
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from itertools import product
from typing import Annotated

import numpy as np
import tifffile
import typer
from numpy.typing import NDArray

from denoise.cli.opened import STREAMED
from trials import Sigma, print_header, print_row

# Rows that are made at a time.
ROWS = 256
# Runs the command, with another limit from which on images are read and written in rows.
PROGRAM = """
import denoise.cli.opened
from denoise.cli.main import app

denoise.cli.opened.STREAMED = {streamed}
app()
"""
# Goes before it: there is little work in each stage.
QUICK = """
from dataclasses import replace
import denoise.pipeline.run, denoise.presets

def quick(*arguments, **named):
    options = denoise.presets.preset("fast")
    refinement = replace(
        options.refinement, window=3, wiener_passes=0, group_size=10, noise_kept=(0.0,)
    )
    inference = replace(options.inference, stride=6)
    training = replace(options.training, epochs=1)
    return replace(options, refinement=refinement, inference=inference, training=training)

denoise.pipeline.run.preset_for = quick
"""


def main(
    *,
    sizes: Annotated[str, typer.Option(help="Height x width of the images.")] = "2048x2048",
    frames: Annotated[str, typer.Option(help="How many images a file holds.")] = "1",
    sigma: Sigma = 25,
    preset: Annotated[str, typer.Option()] = "fast",
    quick: Annotated[bool, typer.Option("--quick", help="Do little work.")] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Read and write in rows whatever the size.")
    ] = False,
) -> None:
    """Print megabytes and seconds of the process that denoises each file, gray of 16 bits."""
    print_header("size", "images", "megapixels", "MB", "seconds", "of all processors")
    for size, count in product(sizes.split(","), map(int, frames.split(","))):
        height, width = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "noisy.tif")
            _write(name, count, height, width, sigma)
            program = QUICK * quick + PROGRAM.format(streamed=0 if rows else STREAMED)
            command = [sys.executable, "-c", program, name, "--preset", preset, "--quiet"]
            command += ["--device", "cpu", "--sigma", str(sigma), "--max-pixels", str(2**31)]
            start = time.perf_counter()
            process = os.posix_spawn(sys.executable, command, os.environ)
            _, status, usage = os.wait4(process, 0)
            seconds = time.perf_counter() - start
        if status != 0:
            raise SystemExit(f"denoise failed on {size}")
        megabytes = f"{usage.ru_maxrss / 1000:.0f}"
        pixels = f"{count * height * width / 1e6:.1f}"
        used = f"{usage.ru_utime + usage.ru_stime:.0f}"
        print_row(size, str(count), pixels, megabytes, f"{seconds:.0f}", used)


def _write(name: str, count: int, height: int, width: int, sigma: float) -> None:
    random = np.random.default_rng(0)
    with tifffile.TiffWriter(name) as file:
        for _ in range(count):
            file.write(_noisy(random, height, width, sigma), rowsperstrip=16)


def _noisy(
    random: np.random.Generator, height: int, width: int, sigma: float
) -> NDArray[np.uint16]:
    image: NDArray[np.uint16] = np.empty((height, width), np.uint16)
    across = 40 * np.sin(np.arange(width) / 37) + 10 * np.sin(np.arange(width) / 5)
    for top in range(0, height, ROWS):
        rows = np.arange(top, min(top + ROWS, height))[:, None]
        clean = 128 + across + 40 * np.sin(rows / 53) * np.cos(rows / 7)
        noisy = clean + random.normal(0, sigma, clean.shape)
        image[top : top + ROWS] = np.clip(noisy, 0, 255) * 257
    return image


if __name__ == "__main__":
    typer.run(main)
