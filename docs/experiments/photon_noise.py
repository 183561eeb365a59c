"""How well photon noise is estimated and removed, on clean images with synthetic noise.

Entry "photon noise" of the log.

    PYTHONPATH=docs/experiments python -m photon_noise SET12/02.png --seeds 2
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.noise.gaussian import GaussianNoise, estimate_gaussian
from denoise.noise.interface import Noise
from denoise.noise.photons import estimate_poisson_gaussian
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.pipeline.image import denoise_image
from denoise.presets import Overrides
from trials import Epochs, Image, Images, Seeds, numbered, print_header, print_row


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
    known = "stabilised, known parameters"
    print_header("image", *columns, "stabilised", known, f"{known}, in whole photons")
    overrides = Overrides(epochs=epochs)
    for path, seed in numbered(images, seeds):
        clean = read_image(path).pixels
        noisy = noisy_image(clean, gain, read, seed)
        found, level = estimate_poisson_gaussian(noisy), estimate_gaussian(noisy)
        assert found is not None
        assert level is not None
        true_rms = float(np.sqrt(np.mean((noisy - clean) ** 2)))
        tried: list[Noise] = [level, GaussianNoise(true_rms), found]
        results = [noisy]
        for noise in (*tried, PoissonGaussianNoise(gain, read)):
            result = denoise_image(
                noisy, noise, preset="fast", overrides=overrides, data_range=255, device="cpu"
            )
            results.append(result.image)
        results.append(gain * np.rint(results[-1] / gain))
        estimate = f"{found.gain:.2f}, {found.read_sigma:.1f}, {found.offset:.1f}"
        print_row(path.name, estimate, *(f"{psnr(clean, image):.2f}" for image in results))


if __name__ == "__main__":
    typer.run(main)
