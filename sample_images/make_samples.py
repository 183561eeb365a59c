"""Make the sample images from scikit-image's data; run with `make samples`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import data

from denoise.benchmark.datasets import sample_images
from denoise.files.images import write_image
from denoise.noise.gaussian import add_gaussian_noise

SIGMA = 25
# The part of the Hubble extreme deep field that is a sample of real noise: rows and columns.
GALAXIES = slice(100, 356), slice(300, 684)


def main() -> None:
    """Write clean images, their noisy versions and an image of real noise beside this script."""
    folder = Path(__file__).parent
    for seed, clean in enumerate(sample_images()):
        write_image(folder / f"{clean.name}.png", clean.pixels, overwrite=True)
        noisy = add_gaussian_noise(clean.pixels, SIGMA, generator=np.random.default_rng(seed))
        write_image(folder / f"{clean.name}_sigma{SIGMA}.png", noisy, overwrite=True)
    write_image(folder / "galaxies.png", data.hubble_deep_field()[GALAXIES], overwrite=True)


if __name__ == "__main__":
    main()
