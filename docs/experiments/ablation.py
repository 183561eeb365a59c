"""What the VAE is worth beside the refinement.

`PYTHONPATH=docs/experiments python -m ablation IMAGE...` prints a Markdown table. The non-local
refinement is run from the VAE's image and, with the same settings, from a trivial pilot: total
variation, with the weight that is best for each image (an advantage that a user does not have).
Protocol as in protocol.py.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.options import RefinementOptions
from denoise.pipeline.image import denoise_image
from denoise.presets import DEFAULT_PRESET, preset_for
from denoise.refinement.refine import refine_image

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


def measure(path: Path, sigma: float, noise_seed: int, preset_name: str) -> list[float]:
    """PSNR of each column, in dB."""
    clean = read_image(path).pixels
    noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(noise_seed))
    options = preset_for(preset_name, sigma)
    settings = options.refinement or RefinementOptions()
    vae = denoise_image(noisy, sigma, options=replace(options, refinement=None), device="cpu").image
    trivial = total_variation(noisy, clean, sigma)
    images: list[NDArray[Any]] = [vae, trivial]
    images += [refined(noisy, pilot, sigma, settings) for pilot in (trivial, vae)]
    return [psnr(clean, image) for image in images]


def main(
    images: Annotated[list[Path], typer.Argument(help="Clean images.")],
    *,
    sigmas: Annotated[str, typer.Option(help="Noise levels, separated by commas.")] = "25",
    preset_name: Annotated[str, typer.Option("--preset")] = DEFAULT_PRESET,
    first_seed: Annotated[int, typer.Option(help="Noise seed of the first image.")] = 1,
) -> None:
    """Print a Markdown table of PSNR with and without the VAE."""
    typer.echo(f"| image | sigma | {' | '.join(COLUMNS)} |")
    typer.echo("|---" * (len(COLUMNS) + 2) + "|")
    for sigma in map(float, sigmas.split(",")):
        rows = []
        for seed, path in enumerate(images, start=first_seed):
            rows.append(measure(path, sigma, seed, preset_name))
            typer.echo(_row(path.name, sigma, rows[-1]))
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        typer.echo(_row("mean", sigma, means))


def _row(name: str, sigma: float, values: list[float]) -> str:
    numbers = " | ".join(f"{value:.2f}" for value in values)
    return f"| {name} | {sigma:g} | {numbers} |"


if __name__ == "__main__":
    typer.run(main)
