"""What a run of each preset will take: seconds, by a short trial, and memory, by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from denoise.budget import LARGE_SIDE, WARM_SIDE, measure_speed, share_near_holes
from denoise.devices import out_of_memory_reported, pick_device
from denoise.noise.interface import Noise
from denoise.noise.white import WhiteImage
from denoise.pipeline import on_device, same_bytes
from denoise.presets import PRESETS, PresetName, preset_for

# GB of the process, and bytes for each value (a channel of a pixel): on a CPU, by
# docs/experiments/memory.py; see docs/performance.md.
MEMORY: dict[PresetName, tuple[float, float]] = {
    "fast": (0.45, 300.0),
    "balanced": (0.45, 300.0),
    "best": (0.9, 300.0),
    "paper": (0.9, 300.0),
}


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    seconds : of the library call, while this machine is as busy as now
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
) -> dict[PresetName, Forecast]:
    """Expect time and memory of `denoise_image` with each preset, from parts of a second each.

    Other parameters, and errors, are those of `denoise_image`.
    """
    white = WhiteImage.of(image, noise, data_range)
    compute_device = pick_device(device)
    pixels = on_device(white, compute_device)
    holes, noisy, runs = share_near_holes(pixels), white.noise.stabilised_sigma > 0, _runs(white)
    size = white.original.size
    forecasts = {}
    for name in presets:
        options = preset_for(name, white.sigma, white.data_range)
        # The published model takes its time.
        side = WARM_SIDE if options.model.decoder == "mlp" else LARGE_SIDE
        with same_bytes(options, compute_device):
            speed = measure_speed(options, pixels, white.sigma, side=side)
        seconds = runs * speed.predict(options, pixels[..., 0].numel(), holes, noisy=noisy)
        on_cpu = compute_device.type == "cpu"
        forecasts[name] = Forecast(seconds, _gigabytes(name, size) if on_cpu else None)
    return forecasts


def _runs(white: WhiteImage) -> int:
    """How often the image is denoised; it stands in for the clean one, which decides."""
    known = ~np.isnan(white.original)
    about = np.where(known, white.original, np.median(white.original[known]))
    return 1 if white.noise.second_look(about, about) is None else 2


def _gigabytes(name: PresetName, values: int) -> float:
    base, bytes_per_value = MEMORY[name]
    return base + bytes_per_value * values / 1e9
