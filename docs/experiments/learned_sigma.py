"""Can the sigma that the model learns correct the sigma that it was given?

Entry "does the model's own sigma improve the estimate?" of the log.

    PYTHONPATH=docs/experiments python -m learned_sigma SET12/0[1-7].png --sigma 5
"""

from __future__ import annotations

from typing import Annotated

import typer

from denoise.pipeline.image import denoise_image
from trials import (
    Epochs,
    Images,
    Seeds,
    Sigma,
    estimated_sigma,
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
    epochs: Epochs = None,
    factors: Annotated[
        str, typer.Option(help="The sigma that is given, as multiples of the true one.")
    ] = "1",
) -> None:
    """Print the learned sigma, over the true one, for the true sigma and for its estimate."""
    print_header("image", "given / true", "learned / true", "PSNR")
    for sample in noisy_samples(images, sigma, seeds):
        given = [sigma * float(factor) for factor in factors.split(",")]
        for level in (*given, estimated_sigma(sample.noisy)):
            options = with_epochs(preset_options("fast", level), epochs)
            result = denoise_image(sample.noisy, level, options=options, device="cpu")
            assert result.learned_sigma is not None
            learned = f"{result.learned_sigma / sigma:.2f}"
            psnr = f"{sample.psnr(result.image):.2f}"
            print_row(sample.name, f"{level / sigma:.3f}", learned, psnr)


if __name__ == "__main__":
    typer.run(main)
