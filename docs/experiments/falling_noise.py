"""Does a VAE gain from iterating: falling noise (EPLL), feedback, strengthening (SOS)?

Entry "the amplitude model learns from all patches, in small steps" of the log. One VAE is learned
on the noisy image and then applied to other images that are made from its first result.

    PYTHONPATH=docs/experiments python -m falling_noise SET12/02.png --seeds 2
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from denoise.options import DenoiseOptions
from denoise.pipeline.image import denoise_image
from trials import (
    Epochs,
    Image,
    Images,
    Sample,
    Seeds,
    Sigma,
    alone,
    changed,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)


def results(sample: Sample, options: DenoiseOptions) -> dict[str, Image]:
    """The usual result, and what can be made of it with the learned VAE."""
    noisy, sigma = sample.noisy, sample.sigma
    run = partial(denoise_image, options=options, device="cpu")
    learned = run(noisy, sigma)
    first = learned.image

    def again(image: Image, level: float) -> Image:
        return run(image, level, models=learned.models).image

    return {
        "first result": first,
        # EPLL (Zoran and Weiss 2011) with beta = 1, then 4, in units of 1 / sigma^2.
        "denoised again at half the noise": again((noisy + first) / 2, sigma / 2),
        "half of the residual fed back": again((noisy + first) / 2, sigma),
        # SOS (Romano and Elad 2015).
        "strengthen, denoise, subtract": again(noisy + first, sigma) - first,
    }


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    epochs: Epochs = None,
    patch_size: Annotated[int, typer.Option(help="Side of the patches, in pixels.")] = 8,
) -> None:
    """Print PSNR of the first result and of those that follow from it."""
    options = changed(
        alone(preset_options("balanced", sigma)), model={"patch_sizes": (patch_size,)}
    )
    print_header("image", "result", "PSNR")
    for sample in noisy_samples(images, sigma, seeds):
        for name, image in results(sample, with_epochs(options, epochs)).items():
            print_row(sample.name, name, f"{sample.psnr(image):.2f}")


if __name__ == "__main__":
    typer.run(main)
