"""Largest resident size of whole runs, for images of several sizes.

Behind the constants of denoise/pipeline/forecast.py and the table of memory in docs/performance.md.
Linux only.

    PYTHONPATH=docs/experiments python -m memory SET12/02.png KODAK24/kodim23.png --sides 64,256,512
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from denoise.files.images import read_image, write_image
from denoise.noise.gaussian import add_gaussian_noise
from trials import Epochs, Image, Images, Sigma, print_header, print_row


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    epochs: Epochs = 1,
    sides: Annotated[str, typer.Option(help="Sides of the squares, in pixels.")] = "64,256,512",
    presets: Annotated[str, typer.Option()] = "fast,balanced,best",
) -> None:
    """Print MB for each image, repeated by reflection, and each preset and size.

    The number of epochs hardly matters for the memory.
    """
    print_header("image", "preset", "side", "channels", "MB")
    for path in images:
        clean = read_image(path).pixels
        for preset in presets.split(","):
            for side in map(int, sides.split(",")):
                megabytes = _peak(_square(clean, side), sigma, preset, epochs)
                channels = str(np.atleast_3d(clean).shape[2])
                print_row(path.name, preset, str(side), channels, f"{megabytes:.0f}")


def _square(image: Image, side: int) -> Image:
    """The image, cut or continued by reflection to a square."""
    height, width = image.shape[:2]
    room = [(0, max(side - height, 0)), (0, max(side - width, 0))] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, room, "symmetric")[:side, :side]


def _peak(clean: Image, sigma: float, preset: str, epochs: int | None) -> float:
    """Largest resident size in MB of the process that denoises a noisy version of an image."""
    noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(1))
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "noisy.png")
        write_image(Path(name), noisy, overwrite=False)
        command = [sys.executable, "-m", "denoise", name, "--preset", preset, "--quiet"]
        command += ["--device", "cpu"]
        command += [] if epochs is None else ["--epochs", str(epochs)]
        process = os.posix_spawn(sys.executable, command, os.environ)
        _, status, usage = os.wait4(process, 0)
    if status != 0:
        raise SystemExit(f"denoise --preset {preset} failed")
    return usage.ru_maxrss / 1000


if __name__ == "__main__":
    typer.run(main)
