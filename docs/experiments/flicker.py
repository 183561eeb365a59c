"""How much a still scene flickers from frame to frame, with one model and with one for each frame.

Also what it takes, and what frames that help each other make of it.

Behind a table of docs/series.md.

    PYTHONPATH=docs/experiments python -m flicker set12/02.png --seeds 2 --frames 12
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.noise.estimate import estimate_noise
from denoise.noise.interface import Noise
from denoise.pipeline.image import denoise_image
from denoise.pipeline.run import Run
from denoise.pipeline.series import denoise_series, learn_series
from trials import Images, Seeds, Sigma, numbered, print_header, print_row

Stack = NDArray[np.float64]
# Side of the regions whose mean is followed, in pixels.
REGION = 16

Frames = Annotated[int, typer.Option(min=2, help="Frames of the scene.")]
Preset = Annotated[str, typer.Option(help="Preset of all runs.")]


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    frames: Frames = 12,
    preset: Preset = "fast",
) -> None:
    """Print for each image how far regions and pixels change from frame to frame."""
    ways: dict[str, Callable[[Stack, str], Stack]] = {
        "noisy": lambda noisy, _: noisy,
        "one model": partial(_with_one_model, temporal=0),
        "one model, --temporal 2": partial(_with_one_model, temporal=2),
        "a model per frame": _each_alone,
    }
    print_header("image", "frames", "regions", "pixels", "PSNR", "s / frame")
    for path, seed in numbered(images, seeds):
        clean = read_image(path).pixels.astype(np.float64)
        noise = np.random.default_rng(seed).normal(0, sigma, (frames, *clean.shape))
        noisy = clean + noise
        for name, way in ways.items():
            started = time.perf_counter()
            result = way(noisy, preset)
            seconds = time.perf_counter() - started
            regions = _region_means(result).std(0, ddof=1).mean()
            quality = np.mean([psnr(clean, frame) for frame in result])
            print_row(
                path.name,
                name,
                f"{regions:.2f}",
                f"{result.std(0, ddof=1).mean():.2f}",
                f"{quality:.2f}",
                f"{seconds / frames:.2f}",
            )


def _with_one_model(noisy: Stack, preset: str, *, temporal: int) -> Stack:
    model = learn_series(noisy, _noise(np.concatenate(noisy)), Run(preset, data_range=255))
    results = denoise_series(noisy, model, temporal=temporal)
    return np.stack([one.image for one in results])


def _each_alone(noisy: Stack, preset: str) -> Stack:
    return np.stack(
        [denoise_image(one, _noise(one), preset=preset, data_range=255).image for one in noisy]
    )


def _noise(image: Stack) -> Noise:
    noise = estimate_noise(image)
    if noise is None:
        raise typer.BadParameter("no noise is found; give a larger --sigma")
    return noise


def _region_means(stack: Stack) -> Stack:
    """(frames, rows, columns) of the means of square regions."""
    frames, height, width = stack.shape
    rows, columns = height // REGION, width // REGION
    whole = stack[:, : rows * REGION, : columns * REGION]
    return np.asarray(whole.reshape(frames, rows, REGION, columns, REGION).mean((2, 4)))


if __name__ == "__main__":
    typer.run(main)
