"""What the first runs of an installation cost, whose loops are not compiled yet.

For the entry of 2026-11-28 in docs/experiments.md. Commands start together, first with an empty
folder for machine code and then with what they have left there; the image should be a small one.

    PYTHONPATH=docs/experiments python -m cold_start small.png
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from trials import Epochs, Images, print_header, print_row


def main(
    images: Images,
    *,
    counts: Annotated[str, typer.Option(help="Processes that start together.")] = "1,2",
    epochs: Epochs = None,
) -> None:
    """Print seconds of the processors and of the clock, for all processes together."""
    print_header("processes", "loops", "processor s", "s")
    for count in map(int, counts.split(",")):
        with TemporaryDirectory() as folder:
            for loops in ("compiled", "kept"):
                processor, clock = _run(images[0], Path(folder), loops, count, epochs)
                print_row(f"{count}", loops, f"{processor:.1f}", f"{clock:.1f}")


def _run(
    image: Path, folder: Path, loops: str, count: int, epochs: int | None
) -> tuple[float, float]:
    """Seconds of the processors, and of the clock until the last of the processes ends."""
    options = ["--sigma", "25", "--preset", "fast", "--quiet"]
    options += [] if epochs is None else ["--epochs", f"{epochs}"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-m", "denoise", str(image), *options]
    before, start = _processor_seconds(), time.perf_counter()
    running = [
        subprocess.Popen([*command, "-o", str(folder / f"{loops}{number}.png")], env=environment)
        for number in range(count)
    ]
    for process in running:
        if process.wait() != 0:
            raise RuntimeError("a run failed")
    return _processor_seconds() - before, time.perf_counter() - start


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    typer.run(main)
