"""Seconds that `denoise info` expects beside those of runs.

Behind a table of docs/performance.md.

    PYTHONPATH=docs/experiments python -m forecasts sample_images/camera.png --seeds 25
    PYTHONPATH=docs/experiments python -m forecasts sample_images/camera.png --seeds 25 --cpu
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from denoise.files.images import write_image
from denoise.pipeline.forecast import forecast
from denoise.pipeline.image import denoise_image
from denoise.presets import Overrides
from trials import Epochs, Images, Sample, Seeds, Sigma, noisy_samples, print_header, print_row

Choice = Annotated[str, typer.Option(help="Presets to run, from fast,balanced,best.")]
Cpu = Annotated[
    bool,
    typer.Option("--cpu", help="Time calls of the library in seconds of the CPU."),
]


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    presets: Choice = "fast,balanced,best",
    epochs: Epochs = None,
    cpu: Cpu = False,
) -> None:
    """Print seconds for each preset and each image, to which noise is added."""
    print_header("image", "preset", "expected", "measured", "ratio")
    for sample in noisy_samples(images, sigma, seeds):
        pairs = (_in_cpu_time if cpu else _of_processes)(sample, presets.split(","), epochs)
        for preset, (expected, measured) in pairs.items():
            cells = f"{expected:.1f}", f"{measured:.1f}", f"{expected / measured:.2f}"
            print_row(sample.name, preset, *cells)


def _of_processes(
    sample: Sample, presets: list[str], epochs: int | None
) -> dict[str, tuple[float, float]]:
    """Expected and measured seconds, as the command prints them."""
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "noisy.png")
        write_image(Path(name), sample.noisy, overwrite=False)
        expected = _report("info", name)["presets"]
        more = [] if epochs is None else ["--epochs", str(epochs)]
        return {
            one: (
                expected[one]["seconds"],
                _report(name, "--preset", one, "--overwrite", *more)["seconds"],
            )
            for one in presets
        }


def _report(*words: str) -> dict[str, Any]:
    """What the command prints as JSON."""
    command = [sys.executable, "-m", "denoise", *words, "--json", "--device", "cpu"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _in_cpu_time(
    sample: Sample, presets: list[str], epochs: int | None
) -> dict[str, tuple[float, float]]:
    """Expected and measured seconds of calls in this process, in CPU time."""
    noisy, sigma = sample.noisy, sample.sigma
    clock = time.perf_counter
    time.perf_counter = time.process_time
    try:
        expected = {
            str(name): one.seconds for name, one in forecast(noisy, sigma, device="cpu").items()
        }
        pairs = {}
        for name in presets:
            overrides = Overrides(epochs=epochs)
            result = denoise_image(noisy, sigma, preset=name, overrides=overrides, device="cpu")
            pairs[name] = expected[name], sum(result.seconds.values())
    finally:
        time.perf_counter = clock
    return pairs


if __name__ == "__main__":
    typer.run(main)
