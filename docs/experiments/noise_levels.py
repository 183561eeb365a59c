"""How well the noise level is estimated.

`PYTHONPATH=docs/experiments python -m noise_levels IMAGE...` prints Markdown tables.

Protocol: white Gaussian noise, neither clipped nor rounded unless asked for, drawn in float64 by
`numpy.random.default_rng(seed)`, seed k for the k-th image, then k + 1000 and so on. Errors are
relative to the sigma that was added: noise that the clean image has itself counts as an error.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Annotated

import numpy as np
import typer

from denoise.files.images import read_image
from denoise.files.samples import to_8bit
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.pipeline.image import denoise_image
from trials import Image, Images, estimated_sigma, print_header, print_row

# From one noise seed of an image to its next.
SEED_STEP = 1000

# A function of the clean image, the noisy image and sigma.
Measure = Callable[[Image, Image, float], float]


def relative_error(clean: Image, noisy: Image, sigma: float) -> float:
    """Error of our estimate, in percent."""
    return 100 * (estimated_sigma(noisy) / sigma - 1)


def wavelet_error(clean: Image, noisy: Image, sigma: float) -> float:
    """The same for scikit-image, which takes the finest diagonal wavelet coefficients."""
    from skimage.restoration import estimate_sigma as estimate

    axis = -1 if noisy.ndim == 3 else None
    return 100 * (float(estimate(noisy, channel_axis=axis, average_sigmas=True)) / sigma - 1)


def decibels_lost(clean: Image, noisy: Image, sigma: float, *, preset_name: str) -> float:
    """PSNR with the given sigma less that with our estimate."""
    given, estimated = (
        psnr(clean, denoise_image(noisy, level, preset=preset_name, data_range=255).image)
        for level in (sigma, estimated_sigma(noisy))
    )
    return given - estimated


def mean_over_seeds(
    measure: Measure, clean: Image, sigma: float, *, first_seed: int, seeds: int, clip: bool
) -> float:
    """Mean of a measure over several draws of the noise."""
    values = []
    for seed in range(first_seed, first_seed + seeds * SEED_STEP, SEED_STEP):
        noisy: Image = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(seed))
        values.append(measure(clean, to_8bit(noisy) if clip else noisy, sigma))
    return statistics.mean(values)


def main(
    images: Images,
    *,
    sigmas: Annotated[
        str, typer.Option(help="Noise levels, separated by commas.")
    ] = "5,10,15,25,50",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the noise per image.")] = 1,
    first_seed: Annotated[
        int, typer.Option(help="Noise seed of the first image; the next one has the next.")
    ] = 1,
    clip: Annotated[bool, typer.Option("--clip", help="Round and clip to 8 bits.")] = False,
    with_psnr: Annotated[
        bool, typer.Option("--psnr", help="Also denoise with sigma and with its estimate.")
    ] = False,
    preset_name: Annotated[str, typer.Option("--preset", help="For --psnr.")] = "fast",
) -> None:
    """Print a Markdown table of errors by image and noise level."""
    measures: dict[str, Measure] = {"error, %": relative_error}
    if find_spec("pywt"):
        measures["error of scikit-image, %"] = wavelet_error
    if with_psnr:
        measures["PSNR lost, dB"] = partial(decibels_lost, preset_name=preset_name)
    levels = [float(sigma) for sigma in sigmas.split(",")]
    print_header("measure", "image", *(f"sigma {level:g}" for level in levels))
    for name, measure in measures.items():
        rows = []
        for number, path in enumerate(images):
            average = partial(mean_over_seeds, measure, read_image(path).pixels)
            first = first_seed + number
            rows.append(
                [average(level, first_seed=first, seeds=seeds, clip=clip) for level in levels]
            )
            _print(name, path.name, rows[-1])
        columns = list(zip(*rows, strict=True))
        _print(name, "mean", [statistics.mean(column) for column in columns])
        sizes = [[abs(value) for value in column] for column in columns]
        _print(name, "mean size", [statistics.mean(column) for column in sizes])
        _print(name, "largest size", [max(column) for column in sizes])


def _print(measure: str, image: str, values: list[float]) -> None:
    print_row(measure, image, *(f"{value:.2f}" for value in values))


if __name__ == "__main__":
    typer.run(main)
