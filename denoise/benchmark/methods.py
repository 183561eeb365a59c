"""Every method that the benchmark can run, behind one signature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denoise.devices import pick_device
from denoise.errors import OptionError
from denoise.methods import classic
from denoise.methods.options import PEERS, peer_options
from denoise.methods.other_vaes import denoise_with_peer
from denoise.methods.zs_n2n import zs_n2n
from denoise.pipeline import denoise_image
from denoise.presets import PRESETS, VAE_ALONE

Array = NDArray[np.float64]
# Of the clean images, whose values are those of bytes.
DATA_RANGE = 255.0


@dataclass(frozen=True)
class Denoised:
    """An image, and what the method tells of itself, such as {"perplexity": 200.0}."""

    image: NDArray[np.floating]
    details: dict[str, float]


# (noisy image on 0..255, sigma, seed, device) -> result
Run = Callable[[Array, float, int, str], Denoised]


@dataclass(frozen=True)
class Method:
    """A denoiser by name.

    Attributes
    ----------
    name : in tables
    kind : "ours", "vae", "network" or "classic"
    run : denoises an image
    """

    name: str
    kind: str
    run: Run


CLASSIC = {
    "noisy": classic.noisy,
    "blur": classic.blur,
    "tv": classic.total_variation,
    "nl-means": classic.nl_means,
    "wavelet": classic.wavelet,
    "bm3d": classic.bm3d,
}
METHODS = (*PRESETS, *VAE_ALONE, *PEERS, "zs-n2n", *CLASSIC)


def methods_by_name(names: Sequence[str]) -> list[Method]:
    """The methods of these names.

    Raises
    ------
    OptionError
        If there is none of that name, or no name.
    """
    if not names:
        raise OptionError(f"no method is given; choose from {', '.join(METHODS)}")
    return [_method(name) for name in dict.fromkeys(names)]


def _method(name: str) -> Method:
    if name in PRESETS:
        return Method(name, "ours", _ours(name))
    if name in VAE_ALONE:
        return Method(name, "ours", _vae_alone(name))
    if name in CLASSIC:
        return Method(name, "classic", _classic(name))
    if name in PEERS:
        return Method(name, "vae", _peer(name))
    if name == "zs-n2n":
        return Method(name, "network", _zs_n2n)
    raise OptionError(f"there is no method {name!r}; choose from {', '.join(METHODS)}")


def _ours(name: str) -> Run:
    def run(image: Array, sigma: float, seed: int, device: str) -> Denoised:
        result = denoise_image(
            image, sigma, preset=name, data_range=DATA_RANGE, seed=seed, device=device
        )
        return Denoised(result.image, {"learned_sigma": result.learned_sigma})

    return run


def _vae_alone(name: str) -> Run:
    def run(image: Array, sigma: float, seed: int, device: str) -> Denoised:
        result = denoise_image(
            image, sigma, preset=name, data_range=DATA_RANGE, seed=seed, device=device
        )
        # Without the constant of the likelihood, as the peers tell it.
        vae = result.models[0]
        values = vae.patch_size**2 * vae.channels - 1
        constant = values / 2 * math.log(2 * math.pi)
        return Denoised(result.image, {"-ELBO": -result.elbo_history[-1] - constant})

    return run


def _classic(name: str) -> Run:
    return lambda image, sigma, seed, device: Denoised(CLASSIC[name](image, sigma, seed), {})


def _peer(name: str) -> Run:
    def run(image: Array, sigma: float, seed: int, device: str) -> Denoised:
        result = denoise_with_peer(image, sigma, peer_options(name), seed=seed, device=device)
        details = {"loss": result.stats.losses[-1], **result.stats.diagnostics}
        return Denoised(result.image, details)

    return run


def _zs_n2n(image: Array, sigma: float, seed: int, device: str) -> Denoised:
    return Denoised(zs_n2n(image, seed, device=str(pick_device(device))), {})
