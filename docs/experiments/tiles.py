"""How far an image that is denoised in tiles differs from the same one denoised whole.

Behind the tables of docs/large.md. Both have the same model; the last row has the exact halo, if
the image is larger than that.

    PYTHONPATH=docs/experiments python -m tiles set12/08.png --noise gaussian
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.noise.coloured import ColouredNoise
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.pipeline.run import Run
from denoise.pipeline.series import SeriesModel, denoise_series, learn_series
from denoise.pipeline.tiled import denoise_tiles
from denoise.pipeline.tiles import drawn_parts, exact_halo
from trials import Image, Images, Sigma, print_header, print_row

Kind = Literal["gaussian", "poisson", "correlated"]
# Pixels on each side of a cut that count as the seam.
SEAM = 4
# Makes white noise correlated.
KERNEL = np.array([0.15, 0.7, 0.15])


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    noise: Annotated[Kind, typer.Option(help="Sort of noise.")] = "gaussian",
    size: Annotated[str, typer.Option(help="Height x width, by reflection.")] = "512x512",
    core: Annotated[int, typer.Option(help="Side of a core, in pixels.")] = 256,
    halos: Annotated[str, typer.Option(help="Widths of the halo, in pixels.")] = "0,32,64,96,128",
    preset: Annotated[str, typer.Option()] = "fast",
) -> None:
    """Print the differences to the whole image, of 255, for each width of the halo."""
    height, width = map(int, size.split("x"))
    print_header("image", "halo", "largest", "mean", "largest at cuts", "mean at cuts", "PSNR")
    for path in images:
        clean = _continued(read_image(path).pixels.astype(np.float64), height, width)
        noisy, known = _with_noise(clean, sigma, noise)
        parts = np.stack([noisy[area] for area in drawn_parts(noisy.shape)])
        model = learn_series(parts, known, Run(preset, data_range=255), of_one_image=True)
        (whole,) = denoise_series([noisy], model)
        print_row(path.name, "whole", "", "", "", "", f"{psnr(clean, whole.image):.3f}")
        exact = exact_halo(model.options)
        widths = [int(halo) for halo in halos.split(",")]
        for halo in [*widths, *([exact] if core + exact < max(noisy.shape[:2]) else [])]:
            denoised, cuts = _in_tiles(noisy, model, core, halo)
            off = np.abs(denoised.astype(np.float64) - whole.image)
            values = (off.max(), off.mean(), off[cuts].max(), off[cuts].mean())
            cells = [f"{value:.3g}" for value in values]
            print_row(path.name, str(halo), *cells, f"{psnr(clean, denoised):.3f}")


def _continued(image: Image, height: int, width: int) -> Image:
    """The image, cut or continued by reflection."""
    room = [(0, max(height - image.shape[0], 0)), (0, max(width - image.shape[1], 0))]
    return np.pad(image, room + [(0, 0)] * (image.ndim - 2), "symmetric")[:height, :width]


def _with_noise(clean: Image, sigma: float, kind: Kind) -> tuple[Image, Noise]:
    """A noisy image, and its noise; sigma is that at middle gray."""
    random = np.random.default_rng(1)
    if kind == "poisson":
        gain = sigma**2 / 128
        return random.poisson(clean / gain) * gain, PoissonGaussianNoise(gain, 1e-3)
    white = random.normal(0, sigma, clean.shape)
    if kind == "gaussian":
        return clean + white, GaussianNoise(sigma)
    covariance = np.correlate(KERNEL, KERNEL, "full")[2:]
    table = sigma**2 * np.outer(covariance, covariance)
    filtered = correlate1d(correlate1d(white, KERNEL, 0, mode="wrap"), KERNEL, 1, mode="wrap")
    return clean + filtered, ColouredNoise.of([table])


def _in_tiles(
    noisy: Image, model: SeriesModel, core: int, halo: int
) -> tuple[Image, NDArray[np.bool_]]:
    """The denoised image, and where pixels are near a cut."""
    denoised, cuts = np.empty(noisy.shape), np.zeros(noisy.shape, bool)
    for tile, result in denoise_tiles(noisy, model, core=core, halo=halo):
        denoised[tile.core] = result.image
        for axis, area in enumerate(tile.core):
            if area.start > 0:
                near = slice(area.start - SEAM, area.start + SEAM)
                cuts[(near, tile.core[1]) if axis == 0 else (tile.core[0], near)] = True
    return denoised, cuts


if __name__ == "__main__":
    typer.run(main)
