"""Seconds of the refinement with compiled loops and with plain tensors.

Entry "block matching in one loop" of the log.

    PYTHONPATH=docs/experiments python -m refinement_time SET12/02.png --seeds 2
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from ablation import refined
from denoise.kernels.choice import Implementation, use
from denoise.options import RefinementOptions
from trials import (
    Epochs,
    Images,
    Seeds,
    Sigma,
    alone,
    denoised,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)

IMPLEMENTATIONS: tuple[Implementation, ...] = ("numba", "plain")


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    epochs: Epochs = None,
    runs: Annotated[int, typer.Option(min=1, help="The least of this many runs.")] = 2,
) -> None:
    """Print seconds of the refinement of `balanced`, and the PSNR of its result."""
    options = preset_options("balanced", sigma)
    pilot_options = with_epochs(alone(options), epochs)
    print_header("image", "implementation", "seconds", "PSNR")
    for sample in noisy_samples(images, sigma, seeds):
        pilot = denoised(sample, pilot_options)
        for name in IMPLEMENTATIONS:
            seconds = []
            for _ in range(runs):
                start = time.perf_counter()
                with use(name):
                    image = refined(
                        sample.noisy, pilot, sigma, options.refinement or RefinementOptions()
                    )
                seconds.append(time.perf_counter() - start)
            print_row(sample.name, name, f"{min(seconds):.2f}", f"{sample.psnr(image):.5f}")


if __name__ == "__main__":
    typer.run(main)
