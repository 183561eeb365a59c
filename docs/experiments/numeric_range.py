"""How large a range float32 bears, in units of sigma, and what hot pixels do to their surroundings.

Entry "numbers out of the ordinary" of the log: a synthetic scene of 64×64 pixels.

    PYTHONPATH=docs/experiments python -m numeric_range
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from denoise.pipeline.image import denoise_image
from denoise.presets import Overrides
from trials import Epochs, Image, print_header, print_row

SIDE, SIGMA = 64, 20.0


def scene(side: int) -> Image:
    """Waves and a chequerboard, 0..1."""
    y, x = np.mgrid[:side, :side]
    waves = 60 * np.sin(x / 15) + 40 * np.cos(y / 11) + ((x // 24 + y // 24) % 2) * 40
    scaled: Image = (waves - waves.min()) / np.ptp(waves)
    return scaled


def main(
    *,
    ranges: Annotated[str, typer.Option(help="Ranges in units of sigma.")] = "1e3,1e4,3e4,9e5",
    hot: Annotated[str, typer.Option(help="Hot pixels in units of sigma.")] = "100,900,3e3,1e5",
    side: Annotated[int, typer.Option(help="Side of the scene in pixels.")] = SIDE,
    epochs: Epochs = None,
) -> None:
    """Print root mean squared errors in units of sigma."""
    generator = np.random.default_rng(0)
    overrides = Overrides(epochs=epochs)
    noise = generator.standard_normal((side, side))

    def error(clean: Image, noisy: Image, sigma: float, where: Image) -> str:
        result = denoise_image(noisy, sigma, preset="fast", overrides=overrides, device="cpu")
        return f"{np.sqrt(np.mean((result.image - clean)[where] ** 2)) / sigma:.2f}"

    everywhere = np.ones((side, side), bool)
    print_header("what", "size over sigma", "error over sigma")
    for extent in map(float, ranges.split(",")):
        clean = extent * scene(side)
        print_row("range", f"{extent:g}", error(clean, clean + noise, 1.0, everywhere))
    clean, middle = 255 * scene(side), side // 2
    y, x = np.mgrid[:side, :side]
    distance = np.maximum(abs(y - middle), abs(x - middle))
    near = (distance > 0) & (distance < 8)
    for size in (0.0, *map(float, hot.split(","))):
        noisy = clean + SIGMA * noise
        noisy[middle, middle] += size * SIGMA
        print_row("hot pixel", f"{size:g}", error(clean, noisy, SIGMA, near))


if __name__ == "__main__":
    typer.run(main)
