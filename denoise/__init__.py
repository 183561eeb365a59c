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
    from denoise.pipeline import denoise_image
    from denoise.presets import preset
    from denoise.results import DenoiseResult, Progress

__version__ = "0.1.0"

__all__ = [
    "ColouredNoise",
    "DenoiseOptions",
    "DenoiseResult",
    "GaussianNoise",
    "Noise",
    "PoissonGaussianNoise",
    "Progress",
    "__version__",
    "denoise_image",
    "estimate_noise",
    "preset",
]

_HOMES = {
    "ColouredNoise": "noise.coloured",
    "DenoiseOptions": "options",
    "DenoiseResult": "results",
    "GaussianNoise": "noise.gaussian",
    "Noise": "noise.interface",
    "PoissonGaussianNoise": "noise.poisson_gaussian",
    "Progress": "results",
    "denoise_image": "pipeline",
    "estimate_noise": "noise.estimate",
    "preset": "presets",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: `denoise --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
