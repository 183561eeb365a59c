"""What noise is found in images whose clean version is known, and what denoising gains.

python -m real_noise pairs FOLDER    FOLDER/noisy and FOLDER/reference hold images of the same names
python -m real_noise kinds IMAGE...  synthetic noise of several kinds on clean images
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.ndimage import convolve, zoom

from denoise import denoise_image, estimate_noise
from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.noise.coloured import ColouredNoise
from denoise.noise.gaussian import OPPONENT_AXES, GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.noise.spectrum import WINDOW, covariances, window_energies
from trials import print_header, print_row

Array = NDArray[np.float64]
Table = Literal["pairs", "kinds"]
BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16


def measured(noise: Array) -> ColouredNoise:
    """Stationary noise with the spectra of `noise` (height, width[, C]) itself."""
    planes = noise.reshape(*noise.shape[:2], -1)
    axes = OPPONENT_AXES if planes.shape[2] == 3 else np.eye(planes.shape[2])
    planes = (planes - planes.mean((0, 1))) @ axes.T
    tables = []
    for axis in range(planes.shape[2]):
        energies = window_energies(planes[..., axis])
        if energies is None:  # most of it has been compressed away
            energies = np.full((1, WINDOW, WINDOW), planes[..., axis].var())
        tables.append(covariances(energies.mean(0)))
    return ColouredNoise.of(tables, axes)


def rounded(image: NDArray[np.floating]) -> Array:
    """The image as a file of 8 bits would hold it."""
    return np.clip(np.rint(np.asarray(image, np.float64)), 0, 255)


def quality(clean: Array, noisy: Array, noise: Noise | None, preset: str, *, in_bytes: bool) -> str:
    """PSNR of the result under this noise."""
    result = noisy if noise is None else denoise_image(noisy, noise, preset=preset).image
    return f"{psnr(clean, rounded(result) if in_bytes else result):.2f}"


def pairs(folder: Path, preset: str) -> None:
    """Print a row for each pair."""
    rest = ("oracle spectrum", "rms found / true", "noise found")
    print_header("image", "noisy", "one sigma", "auto", *rest)
    for path in sorted((folder / "noisy").iterdir()):
        noisy, clean = (
            np.asarray(read_image(folder / part / path.name).pixels, np.float64)
            for part in ("noisy", "reference")
        )
        found, sigma = estimate_noise(noisy), estimate_noise(noisy, "gaussian")
        candidates = (sigma, found, measured(noisy - clean))
        numbers = [quality(clean, noisy, one, preset, in_bytes=True) for one in candidates]
        rms = 0.0 if found is None else float(np.sqrt(found.variance(noisy).mean()))
        text = "none" if found is None else found.summary()
        both = f"{rms:.1f} / {(noisy - clean).std():.1f}"
        print_row(path.stem, f"{psnr(clean, noisy):.2f}", *numbers, both, text)


def kinds(clean: Array) -> Iterator[tuple[str, Array, Array, Noise]]:
    """Name, clean and noisy image, and the noise as it is known."""
    generator = np.random.default_rng(0)
    white = generator.standard_normal(clean.shape)
    for sigma in (10, 25, 50):
        yield f"white {sigma}", clean, clean + sigma * white, GaussianNoise(sigma)
    kernel = BINOMIAL if clean.ndim == 2 else BINOMIAL[..., None]
    smooth = convolve(white, kernel, mode="wrap")
    smooth *= 15 / smooth.std()
    yield "filtered 3x3, 15", clean, clean + smooth, measured(smooth)
    photons = 4.0 * generator.poisson(clean / 4) + generator.normal(0, 5, clean.shape)
    yield "photons, gain 4, read 5", clean, photons, PoissonGaussianNoise(4, 5)
    scale = (1.5, 1.5, 1)[: clean.ndim]
    large, noisy = (zoom(one, scale, order=3) for one in (clean, clean + 15 * white))
    yield "white 15, enlarged 1.5 times", large, noisy, measured(noisy - large)
    if clean.ndim == 3:
        for sigmas in ((40, 20, 30), (10, 10, 50)):
            known = ColouredNoise.of([np.array([[one**2]]) for one in sigmas])
            name = "{}, {}, {} in R, G, B".format(*sigmas)
            yield name, clean, clean + np.array(sigmas) * white, known
        noisy, grid = (_demosaicked(one) for one in (clean + 15 * white, clean))
        yield "white 15, demosaicked", clean, noisy, measured(noisy - grid)


def _demosaicked(image: Array) -> Array:
    seen = np.zeros(image.shape)
    seen[::2, ::2, 0] = seen[1::2, 1::2, 2] = seen[::2, 1::2, 1] = seen[1::2, ::2, 1] = 1
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    kernels = (4 * BINOMIAL, cross, 4 * BINOMIAL)
    planes = [convolve(image[..., c] * seen[..., c], kernels[c], mode="mirror") for c in range(3)]
    return np.stack(planes, axis=2)


def all_kinds(paths: list[Path], preset: str, only: str) -> None:
    """Print a row for each kind of noise whose name contains `only`, on each image."""
    rest = ("one sigma", "auto", "noise known", "found", "estimate, s")
    print_header("image", "noise", "noisy", *rest)
    for path in paths:
        image = np.asarray(read_image(path).pixels, np.float64)
        for name, clean, noisy, known in kinds(image):
            if only not in name:
                continue
            started = time.perf_counter()
            found = estimate_noise(noisy)
            seconds = time.perf_counter() - started
            candidates = (estimate_noise(noisy, "gaussian"), found, known)
            numbers = [quality(clean, noisy, one, preset, in_bytes=False) for one in candidates]
            text = "none" if found is None else found.summary()
            before = f"{psnr(clean, noisy):.2f}"
            print_row(path.stem, name, before, *numbers, text, f"{seconds:.1f}")


def main(
    what: Annotated[Table, typer.Argument(help="Which table.")],
    paths: Annotated[list[Path], typer.Argument(help="Folders of pairs, or clean images.")],
    preset: Annotated[str, typer.Option(help="Preset of all runs.")] = "fast",
    only: Annotated[str, typer.Option(help="Kinds of noise whose name contains this.")] = "",
) -> None:
    """Print a table of PSNR, and of the noise that is found."""
    if what == "kinds":
        all_kinds(paths, preset, only)
        return
    for folder in paths:
        pairs(folder, preset)


if __name__ == "__main__":
    typer.run(main)
