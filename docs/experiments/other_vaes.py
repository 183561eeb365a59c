"""What search adds to the other VAEs: the encoder, a posterior, learning under it, refinement.

Each model is trained once for each row: as published, rebuilt by one pass of its encoder, by a
truncated posterior on the same decoder, and refined; then with the default settings of the library,
which learn under the posterior. Prints PSNR, seconds of the processor and how the latents are used.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import typer
from torch import Tensor

from denoise.methods.refined import filters_for, refined
from denoise.methods.vaes.interface import PatchVAE, PosteriorOptions, VAEOptions
from denoise.methods.vaes.other_vaes import mean_free_basis, other_vae_options
from denoise.methods.vaes.training import fit
from denoise.patches import PatchGrid, PatchMerger
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
CHUNK_SIZE = 4096


@dataclass
class Patches:
    """The patches of a noisy image, without their means and in units of sigma."""

    sample: Sample

    def __post_init__(self) -> None:
        noisy = torch.as_tensor(self.sample.noisy / self.sample.sigma, dtype=torch.float32)
        self.pixels = noisy.reshape(*noisy.shape[:2], -1)
        self.grid = PatchGrid.of(self.pixels, COMPARED_PATCH_SIZE)
        self.basis = mean_free_basis(len(self.grid.offsets))

    def drawn(self, budget: int, generator: torch.Generator) -> Tensor:
        """Training patches: (N, D - 1)."""
        order = torch.randperm(len(self.grid), generator=generator)
        return self.grid.extract(self.pixels, order[:budget]) @ self.basis

    def rebuilt(self, model: PatchVAE, generator: torch.Generator) -> Tensor:
        """The image as the model's options say: (height, width, C)."""
        merger = PatchMerger(self.grid, like=self.pixels)
        for index in torch.arange(len(self.grid)).split(CHUNK_SIZE):
            patches = self.grid.extract(self.pixels, index)
            part = model.reconstruct(patches @ self.basis, generator=generator) @ self.basis.T
            merger.add(part + patches.mean(1, keepdim=True), index, torch.ones_like(part[:, 0]))
        return merger.image()

    def psnr(self, image: Tensor) -> str:
        """Of an image in units of sigma, in dB."""
        pixels = (image * self.sample.sigma).numpy().reshape(self.sample.noisy.shape)
        return f"{self.sample.psnr(pixels):.2f}"

    def refined(self, image: Tensor) -> Tensor:
        """The same after the filters of balanced."""
        filters = filters_for(REFINE, self.sample.sigma, 255.0)
        return refined(self.pixels, image, filters, REFINE, sigma=1.0)


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
    training = patches.drawn(options.training.patch_budget, generator)
    model = options.build(training.shape[1], generator)
    fit(model, training, options.training, generator=generator)
    return model, time.process_time() - started, generator


def learn_posterior(model: PatchVAE, patches: Patches, posterior: PosteriorOptions) -> None:
    """What a posterior needs beyond the training, on the patches of the training."""
    generator = torch.Generator().manual_seed(0)
    training = patches.drawn(model.options.training.patch_budget, generator)
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
    found = model.diagnostics(
        patches.drawn(CHUNK_SIZE, torch.Generator().manual_seed(1)), generator=generator
    )
    return [
        name,
        patches.sample.name,
        patches.psnr(image),
        patches.psnr(patches.refined(image)),
        f"{seconds:.0f}",
        ", ".join(f"{what} {value:.4g}" for what, value in found.items()),
    ]


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
