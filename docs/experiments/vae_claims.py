"""Two claims of papers on VAEs with discrete latents, on the patches of noisy images.

beta: the weight of VQ-VAE's commitment loss hardly matters from 0.1 to 2 (van den Oord, Vinyals,
Kavukcuoglu 2017, section 3.2). implicit: two players of equal rank can have a prior that is known
by its samples alone, which no ELBO could use (Flach, Schlesinger, Shekhovtsov 2023); here these are
signs of random projections of a Gaussian.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import typer

from denoise.methods.vaes.interface import VAEOptions
from denoise.methods.vaes.nash_vae import NashOptions
from denoise.methods.vaes.vq_vae import VQOptions
from other_vaes import Patches, trained, use_of_latents
from trials import Epochs, Images, Seeds, Sigma, noisy_samples, print_header, print_row

Table = Literal["beta", "implicit"]
ROWS: dict[Table, dict[str, VAEOptions]] = {
    "beta": {
        f"vq-vae, beta {beta:g}": VQOptions(commitment=beta, posterior=None)
        for beta in (0.1, 0.25, 0.5, 1.0, 2.0)
    },
    "implicit": {
        "nash-vae, Bernoulli prior": NashOptions(posterior=None),
        "nash-vae, implicit prior": NashOptions(posterior=None, implicit_prior=True),
    },
}


def main(
    images: Images,
    sigma: Sigma = 25.0,
    seeds: Seeds = "",
    epochs: Epochs = None,
    table: Annotated[Table, typer.Option(help="Which claim.")] = "beta",
) -> None:
    """Print PSNR of the encoder alone, and how the latents are used, for each setting and image."""
    print_header("settings", "image", "PSNR", "latents")
    for name, options in ROWS[table].items():
        if epochs is not None:
            options = replace(options, training=replace(options.training, epochs=epochs))
        for sample in noisy_samples(images, sigma, seeds):
            patches = Patches(sample)
            model, _, generator = trained(patches, options)
            psnr = patches.psnr(patches.rebuilt(model, generator))
            latents = use_of_latents(patches, model, generator)
            print_row(name, sample.name, psnr, latents)


if __name__ == "__main__":
    typer.run(main)
