"""Whether a result depends on the number of threads, and what one thread per operation costs.

Entry "bytes and threads" of the log. torch splits sums and matrix products over its threads, so
that their rounding depends on how many there are.

    PYTHONPATH=docs/experiments python -m thread_counts sample_images/camera_sigma25.png
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from itertools import product
from typing import Annotated

import torch
import typer

from denoise.benchmark.protocol import sha256
from denoise.files.images import read_image
from denoise.kernels.loops import one_thread_per_operation
from denoise.pipeline.image import denoise_image
from denoise.presets import Overrides
from trials import Epochs, Images, print_header, print_row

SIGMA = 25.0


def main(
    images: Images,
    *,
    presets: Annotated[str, typer.Option(help="Presets to run.")] = "fast,balanced",
    threads: Annotated[str, typer.Option(help="Numbers of torch's threads.")] = "1,2",
    epochs: Epochs = None,
) -> None:
    """Print seconds and the start of the hash of each result for the first image, a noisy one."""
    noisy = read_image(images[0]).pixels
    denoise_image(noisy[:24, :24], SIGMA, preset="fast", device="cpu")  # compiles the loops
    print_header("preset", "threads", "operations on", "seconds", "hash")
    before = torch.get_num_threads()
    for preset, count, single in product(presets.split(","), threads.split(","), (False, True)):
        torch.set_num_threads(int(count))
        start = time.perf_counter()
        with one_thread_per_operation() if single else nullcontext():
            result = denoise_image(
                noisy,
                SIGMA,
                preset=preset,
                overrides=Overrides(epochs=epochs),
                data_range=255,
                device="cpu",
            )
        seconds = time.perf_counter() - start
        where = "one thread" if single else "all threads"
        print_row(preset, count, where, f"{seconds:.2f}", sha256(result.image.tobytes())[:8])
    torch.set_num_threads(before)


if __name__ == "__main__":
    typer.run(main)
