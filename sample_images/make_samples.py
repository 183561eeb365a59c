"""Make the sample images from scikit-image's data; run with `make samples`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from denoise.benchmark.datasets import sample_images
from denoise.files.images import write_image
from denoise.noise.gaussian import add_gaussian_noise

SIGMA = 25


def main() -> None:
    """Write each clean image and its noisy version beside this script."""
    folder = Path(__file__).parent
    for seed, clean in enumerate(sample_images()):
        write_image(folder / f"{clean.name}.png", clean.pixels, overwrite=True)
        noisy = add_gaussian_noise(clean.pixels, SIGMA, generator=np.random.default_rng(seed))
        write_image(folder / f"{clean.name}_sigma{SIGMA}.png", noisy, overwrite=True)


if __name__ == "__main__":
    main()
