"""How well photon noise is estimated and removed, on clean images with synthetic noise.

Entry "photon noise" of the log.

    PYTHONPATH=docs/experiments python -m photon_noise SET12/02.png --seeds 2
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
import typer

from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.noise.poisson_gaussian import PoissonGaussian, estimate_poisson_gaussian
from denoise.noise.signal_dependent import denoise_poisson_gaussian
from denoise.options import DenoiseOptions
from denoise.pipeline import denoise_image
from trials import (
    Epochs,
    Image,
    Images,
    Seeds,
    estimated_sigma,
    numbered,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)


def fast(sigma: float, *, epochs: int | None) -> DenoiseOptions:
    """The preset, with other epochs if they are given."""
    return with_epochs(preset_options("fast", sigma), epochs)


def noisy_image(clean: Image, gain: float, read_sigma: float, seed: int) -> Image:
    """Photon noise and read noise: gain Poisson(clean / gain) + N(0, read_sigma^2)."""
    generator = np.random.default_rng(seed)
    photons = generator.poisson(clean.astype(np.float64) / gain)
    return gain * photons + read_sigma * generator.standard_normal(clean.shape)


def main(
    images: Images,
    *,
    gain: Annotated[float, typer.Option(help="Gray levels for a photon.")] = 2,
    read: Annotated[float, typer.Option(help="Read noise, in gray levels.")] = 5,
    seeds: Seeds = "",
    epochs: Epochs = None,
) -> None:
    """Print what is estimated, and PSNR with one sigma and with the stabilised image."""
    columns = ("gain, read, offset", "noisy", "estimated sigma", "true RMS")
    print_header("image", *columns, "stabilised", "stabilised, known parameters")
    options_for = partial(fast, epochs=epochs)
    for path, seed in numbered(images, seeds):
        clean = read_image(path).pixels
        noisy = noisy_image(clean, gain, read, seed)
        found = estimate_poisson_gaussian(noisy)
        true_rms = float(np.sqrt(np.mean((noisy - clean) ** 2)))
        results = [noisy]
        for sigma in (estimated_sigma(noisy), true_rms):
            result = denoise_image(noisy, sigma, options=options_for(sigma), device="cpu")
            results.append(result.image)
        for noise in (found, PoissonGaussian(gain, read)):
            result = denoise_poisson_gaussian(noisy, noise, options_for=options_for, device="cpu")
            results.append(result.image)
        estimate = f"{found.gain:.2f}, {found.read_sigma:.1f}, {found.offset:.1f}"
        print_row(path.name, estimate, *(f"{psnr(clean, image):.2f}" for image in results))


if __name__ == "__main__":
    typer.run(main)
