"""Zero-shot image denoising with binary-latent variational autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from denoise.noise.level import estimate_sigma
    from denoise.noise.poisson_gaussian import PoissonGaussian, estimate_poisson_gaussian
    from denoise.noise.signal_dependent import denoise_poisson_gaussian
    from denoise.options import DenoiseOptions
    from denoise.pipeline import denoise_image
    from denoise.presets import preset
    from denoise.results import DenoiseResult, Progress

__version__ = "0.1.0"

__all__ = [
    "DenoiseOptions",
    "DenoiseResult",
    "PoissonGaussian",
    "Progress",
    "__version__",
    "denoise_image",
    "denoise_poisson_gaussian",
    "estimate_poisson_gaussian",
    "estimate_sigma",
    "preset",
]

_HOMES = {
    "DenoiseOptions": "options",
    "DenoiseResult": "results",
    "PoissonGaussian": "noise.poisson_gaussian",
    "Progress": "results",
    "denoise_image": "pipeline",
    "denoise_poisson_gaussian": "noise.signal_dependent",
    "estimate_poisson_gaussian": "noise.poisson_gaussian",
    "estimate_sigma": "noise.level",
    "preset": "presets",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: `denoise --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
