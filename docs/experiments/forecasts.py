"""Seconds that `denoise info` expects beside those of runs, each in a process of its own.

Behind a table of docs/performance.md.

    PYTHONPATH=docs/experiments python -m forecasts sample_images/camera.png --seeds 25
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from denoise.files.images import write_image
from trials import Epochs, Images, Seeds, Sigma, noisy_samples, print_header, print_row


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    presets: Annotated[str, typer.Option(help="Presets to run.")] = "fast,balanced,best",
    epochs: Epochs = None,
) -> None:
    """Print seconds for each preset and each image, to which noise is added."""
    print_header("image", "preset", "expected", "measured", "ratio")
    for sample in noisy_samples(images, sigma, seeds):
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "noisy.png")
            write_image(Path(name), sample.noisy, overwrite=False)
            expected = _report("info", name)["presets"]
            for preset in presets.split(","):
                words = [name, "--preset", preset, "--overwrite"]
                words += [] if epochs is None else ["--epochs", str(epochs)]
                seconds = expected[preset]["seconds"], _report(*words)["seconds"]
                cells = *(f"{one:.1f}" for one in seconds), f"{seconds[0] / seconds[1]:.2f}"
                print_row(sample.name, preset, *cells)


def _report(*words: str) -> dict[str, Any]:
    """What the command prints as JSON."""
    command = [sys.executable, "-m", "denoise", *words, "--json", "--device", "cpu"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


if __name__ == "__main__":
    typer.run(main)
