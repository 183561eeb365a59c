"""What a run of each preset will take: seconds, by a short trial, and memory, by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from denoise.devices import out_of_memory_reported, pick_device
from denoise.noise.interface import Noise
from denoise.noise.white import WhiteImage
from denoise.options import DenoiseOptions
from denoise.pipeline.budget import LARGE_SIDE, WARM_SIDE, measure_speed, share_near_holes
from denoise.pipeline.run import Run
from denoise.pipeline.stages import on_device, same_bytes
from denoise.pipeline.tiles import CORE, HALO, LARGE, is_large, tiles_of
from denoise.presets import PRESETS, PresetName

# Bytes that a process on a CPU needs: for the libraries, and for the largest of its stages, which
# measure noise (for each channel), learn (for each patch) and refine (for each pixel, and each
# channel of it). Fitted to what docs/experiments/memory.py prints, see docs/performance.md.
LOADED, MEASURING, LEARNING, REFINING, REFINING_CHANNEL = 0.41e9, 0.04e9, 4e3, 250, 100
# Bytes to find outliers in a large image, for each pixel, and each channel of it: more than the
# refinement of a tile needs.
SEEING, SEEING_CHANNEL = 60, 30
# Bytes that an MLP needs instead: to score states (for each channel), and to draw the first states
# (for each latent of a state of a patch).
SCORING, DRAWING = 0.1e9, 2.9


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    seconds : of the library call for all images, while this machine is as busy as now
    gigabytes : largest resident size of the process; None on another device than the CPU
    """

    seconds: float
    gigabytes: float | None


@out_of_memory_reported()
def forecast(
    image: ArrayLike,
    noise: float | Noise,
    *,
    data_range: float | None = None,
    device: str = "auto",
    presets: Sequence[PresetName] = PRESETS,
    images: int = 1,
    channels: int = 1,
) -> dict[PresetName, Forecast]:
    """Expect time and memory of `denoise_image` with each preset, by timing parts of the image.

    Other parameters, and errors, are those of `denoise_image`.

    Parameters
    ----------
    images : how many like this one are denoised, as a series
    channels : that these images are of, each with a model of its own
    """
    white = WhiteImage.of(image, noise, data_range)
    compute_device = pick_device(device)
    on_cpu = compute_device.type == "cpu"
    pixels = on_device(white, compute_device)
    holes, noisy, runs = share_near_holes(pixels), white.noise.stabilised_sigma > 0, _runs(white)
    size = pixels.shape[0] * pixels.shape[1]
    large = is_large(image, white.noise)
    forecasts = {}
    for name in presets:
        options = Run(preset=name).options_for(white)
        # The published model is slow on a CPU, and has no compiled loops to load there.
        side = WARM_SIDE if on_cpu and options.model.decoder == "mlp" else LARGE_SIDE
        with same_bytes(options, compute_device):
            speed = measure_speed(options, pixels, white.sigma, side=side)
        work = sum(tile.pixels for tile in tiles_of(pixels.shape, options)) if large else size
        seconds = runs * speed.predict(
            options, images * work, holes, noisy=noisy, channels=channels
        )
        memory = expected_gigabytes(options, size, pixels.shape[2]) if on_cpu else None
        forecasts[name] = Forecast(seconds, memory)
    return forecasts


def _runs(white: WhiteImage) -> int:
    """How often the image is denoised; it stands in for the clean one, which decides."""
    known = ~np.isnan(white.original)
    about = np.where(known, white.original, np.median(white.original[known]))
    return 1 if white.noise.second_look(about, about) is None else 2


def expected_gigabytes(options: DenoiseOptions, pixels: int, channels: int) -> float:
    """Largest resident size of a process that denoises an image on a CPU."""
    patches = min(options.training.patch_budget, pixels)
    if options.model.decoder == "mlp":
        latents = options.search.states * options.model.latents
        learning = max(SCORING * channels, DRAWING * latents * patches)
    else:
        learning = max(MEASURING * channels, LEARNING * patches)
    refined = pixels if pixels <= LARGE else (CORE + 2 * HALO) ** 2
    refining = refined * (REFINING + REFINING_CHANNEL * channels)
    seeing = pixels * (SEEING + SEEING_CHANNEL * channels)
    return (LOADED + max(learning, refining, seeing)) / 1e9
