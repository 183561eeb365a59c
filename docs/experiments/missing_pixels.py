"""What missing pixels cost in time and in decibels.

Entries "pixels that are no picture" and "missing pixels" of the log.

    PYTHONPATH=docs/experiments python -m missing_pixels sample_images/camera.png
    PYTHONPATH=docs/experiments python -m missing_pixels a.png --sigma 0 --shares 0.8 --per-value
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import typer

from denoise.pipeline.image import denoise_image
from trials import (
    Epochs,
    Images,
    Seeds,
    Sigma,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    shares: Annotated[str, typer.Option(help="Of missing pixels.")] = "0,0.0001,0.02,0.5,0.8",
    preset: Annotated[str, typer.Option(help="Of ours.")] = "fast",
    per_value: Annotated[
        bool, typer.Option("--per-value", help="Hide the colours of a pixel independently.")
    ] = False,
    epochs: Epochs = None,
) -> None:
    """Print seconds and PSNR of a preset where this share of the pixels is missing at random."""
    options = with_epochs(preset_options(preset, sigma), epochs)
    print_header("image", "missing", "seconds", "PSNR")
    for sample in noisy_samples(images, sigma, seeds):
        for share in (float(text) for text in shares.split(",")):
            shape = sample.noisy.shape if per_value else sample.noisy.shape[:2]
            hidden = np.random.default_rng(0).random(shape) < share
            hidden = hidden if hidden.ndim == sample.noisy.ndim else hidden[..., None]
            image = np.where(hidden, np.nan, sample.noisy)
            small = image[:64, :64].copy()
            denoise_image(small, sigma, options=options, device="cpu")  # compiles
            started = time.perf_counter()
            result = denoise_image(image, sigma, options=options, device="cpu")
            seconds = time.perf_counter() - started
            psnr = sample.psnr(result.image)
            print_row(sample.name, f"{share:.2%}", f"{seconds:.1f}", f"{psnr:.2f}")


if __name__ == "__main__":
    typer.run(main)
