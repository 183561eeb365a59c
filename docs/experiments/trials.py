"""What the scripts beside this file share: noisy images, changed settings, tables.

Protocol: white Gaussian noise, neither clipped nor rounded, drawn in float64 by
`numpy.random.default_rng(seed)`; PSNR in dB of the float result on 0..255; method seed 0.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise, estimate_gaussian
from denoise.options import Decoder, DenoiseOptions
from denoise.pipeline.image import denoise_image
from denoise.presets import Overrides, preset_for
from denoise.vae.learned import LearnedVAE, learn_vae

Image = NDArray[Any]

Images = Annotated[list[Path], typer.Argument(help="Clean images.")]
Sigma = Annotated[float, typer.Option(help="Noise level on 0..255.")]
Seeds = Annotated[
    str, typer.Option(help="Noise seed of each image, such as 1,2,5; by default 1, 2, 3, ...")
]
Only = Annotated[list[str] | None, typer.Option(help="Rows to measure; by default all of them.")]
Epochs = Annotated[int | None, typer.Option(help="Train for this many epochs in every row.")]


@dataclass(frozen=True)
class Sample:
    """A clean image (height, width) or (height, width, 3) on 0..255, and the same with noise."""

    name: str
    clean: Image
    noisy: Image
    sigma: float

    def psnr(self, image: Image) -> float:
        """PSNR of a result, in dB."""
        return psnr(self.clean, image)


def numbered(images: list[Path], seeds: str) -> list[tuple[Path, int]]:
    """The images, each with its noise seed."""
    numbers = [int(seed) for seed in seeds.split(",") if seed] or list(range(1, len(images) + 1))
    if len(numbers) != len(images):
        raise typer.BadParameter(f"{len(images)} images need as many --seeds, got {len(numbers)}")
    return list(zip(images, numbers, strict=True))


def noisy_samples(images: list[Path], sigma: float, seeds: str) -> list[Sample]:
    """The images with noise of this level."""
    found = []
    for path, seed in numbered(images, seeds):
        clean = read_image(path).pixels
        noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(seed))
        found.append(Sample(path.name, clean, noisy, sigma))
    return found


def preset_options(name: str, sigma: float, decoder: Decoder | None = None) -> DenoiseOptions:
    """Settings of a preset for noise of this level on 0..255."""
    return preset_for(name, sigma, overrides=Overrides(decoder=decoder))


def estimated_sigma(image: Image) -> float:
    """The sigma that a user gets who does not give one."""
    noise = estimate_gaussian(image)
    return 0.0 if noise is None else noise.sigma


def alone(options: DenoiseOptions) -> DenoiseOptions:
    """The VAE without the refinement."""
    return replace(options, refinement=None)


def changed(options: DenoiseOptions, **sections: dict[str, Any]) -> DenoiseOptions:
    """Other settings in some sections, such as `training={"epochs": 12}`."""
    parts = {name: replace(getattr(options, name), **fields) for name, fields in sections.items()}
    return replace(options, **parts)


def with_epochs(options: DenoiseOptions, epochs: int | None) -> DenoiseOptions:
    """These settings with this many epochs; None leaves them as they are."""
    return options if epochs is None else changed(options, training={"epochs": epochs})


def learned_vae(sample: Sample, options: DenoiseOptions) -> LearnedVAE:
    """A VAE of the first patch size, trained on the noisy image; nothing is rebuilt."""
    height, width = sample.noisy.shape[:2]
    pixels = torch.as_tensor(sample.noisy, dtype=torch.float64).reshape(height, width, -1)
    size = options.model.patch_sizes[0]
    return learn_vae(
        [pixels], sample.sigma, size, options=options, seed=0, on_epoch=lambda stats: None
    )


def denoised(sample: Sample, options: DenoiseOptions) -> Image:
    """The image that these settings make of a sample, on the CPU."""
    return denoise_image(sample.noisy, sample.sigma, options=options, device="cpu").image


def compare(
    settings: Mapping[str, DenoiseOptions],
    images: list[Path],
    *,
    sigma: float,
    seeds: str,
    only: list[str] | None,
    epochs: int | None,
) -> None:
    """Denoise every image with each of the settings; print PSNR and median seconds."""

    def run(name: str, sample: Sample) -> Image:
        return denoised(sample, with_epochs(settings[name], epochs))

    print_psnrs(chosen(settings, only), noisy_samples(images, sigma, seeds), run)


def print_psnrs(
    names: Iterable[str], noisy: list[Sample], run: Callable[[str, Sample], Image]
) -> None:
    """Print the PSNR of each image and the median seconds of `run`, a row for each name."""
    print_header("setting", *(sample.name for sample in noisy), "seconds")
    for name in names:
        values, seconds = [], []
        for sample in noisy:
            start = time.perf_counter()
            values.append(sample.psnr(run(name, sample)))
            seconds.append(time.perf_counter() - start)
        print_row(name, *(f"{value:.2f}" for value in values), f"{statistics.median(seconds):.1f}")


def chosen(rows: Iterable[str], only: list[str] | None) -> list[str]:
    """The names of the rows that are wanted, in their order."""
    names = list(rows)
    unknown = set(only or ()) - set(names)
    if unknown:
        raise typer.BadParameter(f"there is no row {unknown.pop()!r}; rows: {', '.join(names)}")
    return [name for name in names if not only or name in only]


def print_header(*cells: str) -> None:
    """The head of a Markdown table."""
    print_row(*cells)
    typer.echo("|---" * len(cells) + "|")


def print_row(*cells: str) -> None:
    """A row of a Markdown table, at once."""
    typer.echo(f"| {' | '.join(cells)} |")
