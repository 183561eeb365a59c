"""Make the sample images from scikit-image's data; run with `make samples`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray

from denoise.images import write_image
from denoise.noise import add_gaussian_noise

SIGMA = 25


def halved(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Average blocks of 2×2 pixels, which also averages the photograph's own noise."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, *image.shape[2:])
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3), dtype=np.float64)
    return means


def main() -> None:
    """Write each clean image and its noisy version beside this script."""
    clean_images = {
        "camera": halved(skimage.data.camera()),
        "astronaut": halved(skimage.data.astronaut()),
        "chelsea": skimage.data.chelsea()[10:266, 100:356],
    }
    folder = Path(__file__).parent
    for seed, (name, clean) in enumerate(clean_images.items()):
        write_image(folder / f"{name}.png", clean, overwrite=True)
        noisy = add_gaussian_noise(np.rint(clean), SIGMA, generator=np.random.default_rng(seed))
        write_image(folder / f"{name}_sigma{SIGMA}.png", noisy, overwrite=True)


if __name__ == "__main__":
    main()
