"""Zero-shot image denoising with binary-latent variational autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from denoise.noise.coloured import ColouredNoise
    from denoise.noise.estimate import estimate_noise
    from denoise.noise.gaussian import GaussianNoise
    from denoise.noise.interface import Noise
    from denoise.noise.poisson_gaussian import PoissonGaussianNoise
    from denoise.options import DenoiseOptions
    from denoise.pipeline.image import denoise_image
    from denoise.pipeline.results import DenoiseResult, Progress
    from denoise.pipeline.run import Run
    from denoise.pipeline.series import SeriesModel, denoise_series, learn_series
    from denoise.pipeline.tiled import denoise_in_tiles, denoise_tiles
    from denoise.presets import preset

__version__ = "0.1.0"

__all__ = [
    "ColouredNoise",
    "DenoiseOptions",
    "DenoiseResult",
    "GaussianNoise",
    "Noise",
    "PoissonGaussianNoise",
    "Progress",
    "Run",
    "SeriesModel",
    "__version__",
    "denoise_image",
    "denoise_in_tiles",
    "denoise_series",
    "denoise_tiles",
    "estimate_noise",
    "learn_series",
    "preset",
]

_HOMES = {
    "ColouredNoise": "noise.coloured",
    "DenoiseOptions": "options",
    "DenoiseResult": "pipeline.results",
    "GaussianNoise": "noise.gaussian",
    "Noise": "noise.interface",
    "PoissonGaussianNoise": "noise.poisson_gaussian",
    "Progress": "pipeline.results",
    "Run": "pipeline.run",
    "SeriesModel": "pipeline.series",
    "denoise_image": "pipeline.image",
    "denoise_in_tiles": "pipeline.tiled",
    "denoise_series": "pipeline.series",
    "denoise_tiles": "pipeline.tiled",
    "estimate_noise": "noise.estimate",
    "learn_series": "pipeline.series",
    "preset": "presets",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: `denoise --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
