"""Measure quality and time of the peers: `python -m denoise.peers IMAGE...`.

Protocol: white Gaussian noise, neither clipped nor rounded, drawn in float64 by
`numpy.random.default_rng(noise seed)`, the same for all images; PSNR of the float result on the
0..255 scale; seconds of the library call. The methods "ours" and "ours-mlp" are the library's
VAE alone with either decoder, on patches of the same size and without refinement. -ELBO is in nats
per patch without the constant of the likelihood; the loss of "gm-vae" is the same.
"""

from __future__ import annotations

import math
import platform
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from denoise import __version__
from denoise.devices import describe_device, pick_device
from denoise.errors import DenoiseError
from denoise.images import read_image
from denoise.metrics import psnr
from denoise.noise import add_gaussian_noise
from denoise.options import Decoder
from denoise.peers.interface import Diagnostics
from denoise.peers.pipeline import PEERS, denoise_with_peer, peer_options
from denoise.pipeline import denoise_image
from denoise.presets import DEFAULT_PRESET, preset

# The library's own method, with these decoders.
OURS: dict[str, Decoder] = {"ours": "amplitude", "ours-mlp": "mlp"}


@dataclass(frozen=True)
class Measurement:
    """One method on one image: dB, seconds and how the latents are used."""

    psnr: float
    seconds: float
    diagnostics: Diagnostics

    def row(self, method: str, image: str) -> str:
        """Line of the Markdown table."""
        used = ", ".join(f"{name} {value:.4g}" for name, value in self.diagnostics.items())
        return f"| {method} | {image} | {self.psnr:.2f} | {self.seconds:.1f} | {used} |"


def measure(
    clean: NDArray[Any],
    method: str,
    sigma: float,
    *,
    noise_seed: int,
    patch_size: int,
    epochs: int | None,
    seed: int,
    device: str,
) -> Measurement:
    """Add noise to a clean image, remove it, and compare."""
    noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(noise_seed))
    started = time.perf_counter()
    if method in OURS:
        own = preset(DEFAULT_PRESET, sigma, OURS[method])
        own = replace(own, model=replace(own.model, patch_sizes=(patch_size,)), refinement=None)
        ours = denoise_image(noisy, sigma, options=own, seed=seed, device=device)
        # As the peers tell it: without the constant of the likelihood.
        constant = (patch_size**2 * clean[0, 0].size - 1) / 2 * math.log(2 * math.pi)
        image, diagnostics = ours.image, {"-ELBO": -ours.elbo_history[-1] - constant}
    else:
        options = peer_options(method)
        if epochs is not None:
            options = replace(options, training=replace(options.training, epochs=epochs))
        peer = denoise_with_peer(
            noisy, sigma, options, patch_size=patch_size, seed=seed, device=device
        )
        image, diagnostics = peer.image, {"loss": peer.stats.losses[-1], **peer.stats.diagnostics}
    return Measurement(psnr(clean, image), time.perf_counter() - started, diagnostics)


def main(
    images: Annotated[list[Path], typer.Argument(help="Clean images.")],
    *,
    sigma: Annotated[float, typer.Option(help="Noise level.")] = 25.0,
    methods: Annotated[
        str, typer.Option(help=f"Separated by commas: {', '.join((*OURS, *PEERS))}.")
    ] = ",".join((*OURS, *PEERS)),
    patch_size: Annotated[int, typer.Option(min=2, help="Side of a patch, in pixels.")] = 8,
    noise_seed: Annotated[int, typer.Option(help="Noise seed of every image.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the methods.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of the peers.")] = None,
    device: str = "auto",
) -> None:
    """Print a Markdown table of PSNR, seconds and diagnostics."""
    try:
        names = methods.split(",")
        for name in names:
            if name not in OURS:
                peer_options(name)
        _print_table(names, images, sigma, noise_seed, patch_size, epochs, seed, device)
    except DenoiseError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _print_table(
    names: list[str],
    images: list[Path],
    sigma: float,
    noise_seed: int,
    patch_size: int,
    epochs: int | None,
    seed: int,
    device: str,
) -> None:
    cleans = {path.name: read_image(path).pixels for path in images}
    typer.echo(
        f"denoise {__version__}, {patch_size}x{patch_size} patches, sigma {sigma:g}, noise"
        f" unclipped with seed {noise_seed}, method seed {seed}; torch {torch.__version__},"
        f" {platform.machine()}, {torch.get_num_threads()} threads,"
        f" {describe_device(pick_device(device))}\n"
    )
    typer.echo("| method | image | PSNR dB | seconds | diagnostics |")
    typer.echo("|---|---|---|---|---|")
    for name in names:
        rows = []
        for image, clean in cleans.items():
            rows.append(
                measure(
                    clean,
                    name,
                    sigma,
                    noise_seed=noise_seed,
                    patch_size=patch_size,
                    epochs=epochs,
                    seed=seed,
                    device=device,
                )
            )
            typer.echo(rows[-1].row(name, image))
        if len(rows) > 1:
            mean = Measurement(
                statistics.mean(row.psnr for row in rows),
                statistics.median(row.seconds for row in rows),
                {},
            )
            typer.echo(mean.row(name, "mean (median seconds)"))
