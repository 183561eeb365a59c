"""How many images an hour a folder takes, one after the other and side by side.

For docs/cluster.md. Each way is a run of the command over copies of noisy images, from its start
to its end; all ways have to write the same bytes.

    PYTHONPATH=docs/experiments python -m throughput sample_images/camera_sigma25.png
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from denoise.benchmark.protocol import sha256
from trials import Epochs, Images, print_header, print_row

WAYS = "--jobs 1,--jobs 2,--cluster local:2"


def main(
    images: Images,
    *,
    copies: Annotated[int, typer.Option(help="Copies of each image.")] = 8,
    preset: Annotated[str, typer.Option(help="Preset of all runs.")] = "fast",
    ways: Annotated[str, typer.Option(help="Options of each run.")] = WAYS,
    epochs: Epochs = None,
) -> None:
    """Print seconds, images an hour and the start of the hash of the results for each way."""
    print_header("options", "seconds", "images an hour", "hash")
    with TemporaryDirectory() as folder:
        noisy = Path(folder, "in")
        noisy.mkdir()
        for image, number in product(images, range(copies)):
            shutil.copy(image, noisy / f"{image.stem}_{number}{image.suffix}")
        options = ["--preset", preset, "--sigma", "25", "--quiet"]
        options += [] if epochs is None else ["--epochs", f"{epochs}"]
        for number, way in enumerate(ways.split(",")):
            out = Path(folder, f"out{number}")
            command = [sys.executable, "-m", "denoise", str(noisy), "-o", str(out)]
            start = time.perf_counter()
            subprocess.run([*command, *options, *way.split()], check=True)
            seconds = time.perf_counter() - start
            data = b"".join(path.read_bytes() for path in sorted(out.iterdir()))
            rate = 3600 * copies * len(images) / seconds
            print_row(f"`{way}`", f"{seconds:.0f}", f"{rate:.0f}", sha256(data)[:8])


if __name__ == "__main__":
    typer.run(main)
