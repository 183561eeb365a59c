"""How the benchmark damages images and measures results: all that decides the numbers."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from denoise import __version__
from denoise.benchmark import ProtocolName
from denoise.devices import processor_name
from denoise.errors import OptionError
from denoise.noise.gaussian import add_gaussian_noise

PROTOCOLS: dict[ProtocolName, str] = {
    "unclipped": "the noisy image is float, neither clipped nor rounded",
    "clipped8": "the noisy image is rounded and clipped to whole gray levels 0..255",
}


class Damage(NamedTuple):
    """What is done to the clean images.

    Attributes
    ----------
    sigma : of the noise, 0 for none
    missing : share of the pixels that are missing, at random places
    """

    sigma: float
    missing: float = 0.0

    @property
    def name(self) -> str:
        """The name in tables and files, such as "sigma 25" or "50 % missing"."""
        parts = [f"sigma {self.sigma:g}"] if self.sigma or not self.missing else []
        return ", ".join(parts + ([f"{100 * self.missing:g} % missing"] if self.missing else []))


@dataclass(frozen=True)
class Protocol:
    """The noise and the missing pixels of a benchmark.

    Attributes
    ----------
    name : "unclipped" or "clipped8"
    """

    name: ProtocolName = "unclipped"

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise OptionError(f"there is no protocol {self.name!r}; use {' or '.join(PROTOCOLS)}")

    def damaged(
        self, clean: NDArray[np.float32], damage: Damage, *, number: int, repeat: int
    ) -> NDArray[np.float64]:
        """The `number`-th image, from 1, damaged for the `repeat`-th time, from 0; NaN: missing."""
        generator = np.random.default_rng(number + 1000 * repeat)
        image = add_gaussian_noise(clean, damage.sigma, generator=generator)
        if self.name == "clipped8":
            image = np.clip(np.rint(image), 0, 255)
        if damage.missing:
            image[generator.random(clean.shape[:2]) < damage.missing] = np.nan
        return image

    def describe(self, *, missing: bool = False) -> list[str]:
        """The conditions that a number depends on, in some lines."""
        holes = [
            "Missing: after the noise, from the same generator, random(height, width) < share, all"
            " colours of a pixel; PSNR and SSIM are of all pixels."
        ]
        return [
            *(holes if missing else []),
            "Noise: white Gaussian, numpy.random.default_rng(k + 1000 r) for the k-th image and the"
            f" r-th repeat, float64; {PROTOCOLS[self.name]}.",
            "PSNR: range 255, of the float result, not clipped. SSIM: 11×11 Gaussian window of"
            " sigma 1.5, range 255, mean over channels.",
            "Seconds: wall time of the method alone, in a warm process.",
        ]


def machine() -> str:
    """Versions, processor and threads in one line."""
    names = ("torch", "numpy", "scikit-image", "numba")
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"denoise {__version__}, {versions}, Python {platform.python_version()};"
        f" {processor_name()}{gpu}, {torch.get_num_threads()} of {os.cpu_count()} threads"
    )


def sha256(data: bytes) -> str:
    """Hash in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
