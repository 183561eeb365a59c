"""What search adds to the other VAEs: the encoder, a posterior, learning under it, refinement.

Each model is trained once for each row: as published, rebuilt by one pass of its encoder, by a
truncated posterior on the same decoder, and refined; then with the default settings of the library,
which learn under the posterior. Prints PSNR, seconds of the processor and how the latents are used.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
import typer
from torch import Tensor

from denoise.methods.image_patches import ImagePatches
from denoise.methods.refined import filters_for, refined
from denoise.methods.vaes.interface import PatchVAE, PosteriorOptions, VAEOptions
from denoise.methods.vaes.other_vaes import other_vae_options
from denoise.methods.vaes.training import fit
from denoise.noise.white import WhiteImage
from denoise.pipeline.run import Run
from denoise.presets import COMPARED_PATCH_SIZE, Overrides
from trials import (
    Epochs,
    Images,
    Only,
    Sample,
    Seeds,
    Sigma,
    noisy_samples,
    print_header,
    print_row,
)

NAMES = ("vq-vae", "gumbel-vae", "gm-vae", "gm-wae", "nash-vae")
REFINE = Run(overrides=Overrides(refine=True))
# Patches whose latents are looked at.
DIAGNOSED = 4096


class Patches:
    """The patches of a noisy image, and the PSNR of what is made of them."""

    def __init__(self, sample: Sample, patch_size: int = COMPARED_PATCH_SIZE) -> None:
        self.sample = sample
        self.noisy = ImagePatches.of(sample.noisy / sample.sigma, patch_size)

    def rebuilt(self, model: PatchVAE, generator: torch.Generator) -> Tensor:
        """The image as the model's options say: (height, width, C)."""
        return self.noisy.rebuilt(partial(model.reconstruct, generator=generator))

    def psnr(self, image: Tensor) -> str:
        """The PSNR of an image in units of sigma, in dB."""
        pixels = (image * self.sample.sigma).numpy().reshape(self.sample.noisy.shape)
        return f"{self.sample.psnr(pixels):.2f}"

    def refined(self, image: Tensor) -> Tensor:
        """An image after the filters of balanced."""
        white = WhiteImage.of(self.sample.noisy, self.sample.sigma, 255.0)
        filters = filters_for(REFINE, white)
        return refined(self.noisy.pixels, image, filters, REFINE, sigma=1.0)


def rows(sample: Sample, name: str, epochs: int | None) -> Iterator[list[str]]:
    """Encoder alone, the same decoder under a posterior, and the library's settings."""
    patches = Patches(sample)
    budget = Overrides(epochs=epochs)
    published = other_vae_options(f"{name}-encoder", budget)
    ours = other_vae_options(name, budget)
    model, seconds, generator = trained(patches, published)
    yield row(patches, model, f"{name}: encoder", seconds, generator)
    assert ours.posterior is not None
    searched = replace(ours.posterior, epochs=0)
    model.options = replace(published, posterior=searched)
    learn_posterior(model, patches, searched)
    yield row(patches, model, f"{name}: posterior", seconds, generator)
    model, seconds, generator = trained(patches, ours)
    yield row(patches, model, f"{name}: learned under it", seconds, generator)


def trained(patches: Patches, options: VAEOptions) -> tuple[PatchVAE, float, torch.Generator]:
    """A model, the seconds of the processor that it took, and the generator to go on with."""
    generator = torch.Generator().manual_seed(0)
    started = time.process_time()
    training = patches.noisy.drawn(options.training.patch_budget, generator)
    model = options.build(training.shape[1], generator)
    fit(model, training, options.training, generator=generator)
    return model, time.process_time() - started, generator


def learn_posterior(model: PatchVAE, patches: Patches, posterior: PosteriorOptions) -> None:
    """What a posterior needs beyond the training, on the patches of the training."""
    generator = torch.Generator().manual_seed(0)
    training = patches.noisy.drawn(model.options.training.patch_budget, generator)
    model.learn_posterior(training, posterior, generator=generator, on_epoch=lambda: None)


def row(
    patches: Patches,
    model: PatchVAE,
    name: str,
    seconds: float,
    generator: torch.Generator,
) -> list[str]:
    """The cells of a row of the table."""
    started = time.process_time()
    image = patches.rebuilt(model, generator)
    seconds += time.process_time() - started
    return [
        name,
        patches.sample.name,
        patches.psnr(image),
        patches.psnr(patches.refined(image)),
        f"{seconds:.0f}",
        use_of_latents(patches, model, generator),
    ]


def use_of_latents(patches: Patches, model: PatchVAE, generator: torch.Generator) -> str:
    """What the model says of its latents on some patches."""
    some = patches.noisy.drawn(DIAGNOSED, torch.Generator().manual_seed(1))
    found = model.diagnostics(some, generator=generator)
    return ", ".join(f"{what} {value:.4g}" for what, value in found.items())


def main(
    images: Images,
    sigma: Sigma = 25.0,
    seeds: Seeds = "",
    only: Only = None,
    epochs: Epochs = None,
) -> None:
    """Print a table, a row for each VAE, way and image."""
    print_header("model", "image", "PSNR", "refined", "seconds", "latents")
    for name in only or NAMES:
        for sample in noisy_samples(images, sigma, seeds):
            for cells in rows(sample, name, epochs):
                print_row(*cells)


if __name__ == "__main__":
    typer.run(main)
