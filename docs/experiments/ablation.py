"""What the VAE is worth beside the refinement.

`PYTHONPATH=docs/experiments python -m ablation IMAGE...` prints a Markdown table. The non-local
refinement is run from the VAE's image and, with the same settings, from a trivial pilot: total
variation, with the weight that is best for each image (an advantage that a user does not have).
Protocol as in trials.py.
"""

from __future__ import annotations

import statistics
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from denoise.metrics import psnr
from denoise.options import RefinementOptions
from denoise.presets import DEFAULT_PRESET, preset_for
from denoise.refinement.refine import refine_image
from trials import (
    Images,
    Sample,
    Seeds,
    alone,
    denoised,
    noisy_samples,
    print_header,
    print_row,
)

# Multiples of sigma; the best of them is taken for each image.
TV_WEIGHTS = (0.6, 0.8, 1.0, 1.2, 1.5)
COLUMNS = ("VAE alone", "TV alone", "refined from TV", "refined from VAE")


def total_variation(
    noisy: NDArray[np.float64], clean: NDArray[np.float32], sigma: float
) -> NDArray[np.float64]:
    """The best total variation denoising (Chambolle 2004) by the clean image."""
    axis = -1 if noisy.ndim == 3 else None
    images = [
        denoise_tv_chambolle(noisy, weight=weight * sigma, channel_axis=axis)
        for weight in TV_WEIGHTS
    ]
    best: NDArray[np.float64] = max(images, key=lambda image: psnr(clean, image))
    return best


def refined(
    noisy: NDArray[np.float64],
    pilot: NDArray[np.float64] | NDArray[np.float32],
    sigma: float,
    options: RefinementOptions,
) -> NDArray[np.float32]:
    """The refinement of one array, from any pilot."""
    height, width = noisy.shape[:2]
    data, start = (
        torch.as_tensor(image, dtype=torch.float32).reshape(height, width, -1)
        for image in (noisy, pilot)
    )
    result = refine_image(data / sigma, start / sigma, options, on_pass=lambda done: None)
    array: NDArray[np.float32] = (result * sigma).numpy().reshape(noisy.shape)
    return array


def measure(sample: Sample, preset_name: str) -> list[float]:
    """PSNR of each column, in dB."""
    options = preset_for(preset_name, sample.sigma)
    settings = options.refinement or RefinementOptions()
    vae = denoised(sample, alone(options))
    trivial = total_variation(sample.noisy, sample.clean, sample.sigma)
    pilots = (trivial, vae)
    images = [vae, trivial, *(refined(sample.noisy, one, sample.sigma, settings) for one in pilots)]
    return [sample.psnr(image) for image in images]


def main(
    images: Images,
    *,
    sigmas: Annotated[str, typer.Option(help="Noise levels, separated by commas.")] = "25",
    preset_name: Annotated[str, typer.Option("--preset")] = DEFAULT_PRESET,
    seeds: Seeds = "",
) -> None:
    """Print a Markdown table of PSNR with and without the VAE."""
    print_header("image", "sigma", *COLUMNS)
    for sigma in map(float, sigmas.split(",")):
        rows = []
        for sample in noisy_samples(images, sigma, seeds):
            rows.append(measure(sample, preset_name))
            print_row(sample.name, f"{sigma:g}", *_in_decibels(rows[-1]))
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        print_row("mean", f"{sigma:g}", *_in_decibels(means))


def _in_decibels(values: list[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]


if __name__ == "__main__":
    typer.run(main)
