"""Published values of other methods on Set12, never measured here; their noise is their own."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from denoise.benchmark.protocol import Damage

# PSNR in dB of 01 to 12 by sigma. The last two were not run on 08.
# fmt: off
PUBLISHED: dict[str, dict[float, tuple[float | None, ...]]] = {
    "BM3D": {
        15: (31.91, 34.93, 32.69, 31.14, 31.85, 31.07, 31.37, 34.26, 33.10, 32.13, 31.92, 32.10),
        25: (29.45, 32.85, 30.16, 28.56, 29.25, 28.42, 28.93, 32.07, 30.71, 29.90, 29.61, 29.71),
        50: (26.13, 29.69, 26.68, 25.04, 25.82, 25.10, 25.90, 29.05, 27.22, 26.78, 26.81, 26.46),
    },
    "WNNM": {
        15: (32.17, 35.13, 32.99, 31.82, 32.71, 31.39, 31.62, 34.27, 33.60, 32.27, 32.11, 32.17),
        25: (29.64, 33.22, 30.42, 29.03, 29.84, 28.69, 29.15, 32.24, 31.24, 30.03, 29.76, 29.82),
        50: (26.45, 30.33, 26.95, 25.44, 26.32, 25.42, 26.14, 29.25, 27.79, 26.97, 26.94, 26.64),
    },
    "DnCNN-S (trained on other images)": {
        15: (32.61, 34.97, 33.30, 32.20, 33.09, 31.70, 31.83, 34.62, 32.64, 32.42, 32.46, 32.47),
        25: (30.18, 33.06, 30.87, 29.41, 30.28, 29.13, 29.43, 32.44, 30.00, 30.21, 30.10, 30.12),
        50: (27.03, 30.00, 27.32, 25.70, 26.78, 25.87, 26.48, 29.39, 26.22, 27.20, 27.24, 26.90),
    },
    "ZS-NCD (one image)": {
        15: (31.18, 34.86, 32.43, 31.37, 32.04, 30.79, 31.02, None, 32.55, 31.82, 31.35, 31.55),
        25: (29.08, 32.63, 29.85, 28.73, 29.42, 28.37, 28.75, None, 30.01, 29.59, 29.15, 29.10),
        50: (25.61, 29.13, 26.30, 24.85, 25.12, 24.84, 25.24, None, 25.55, 26.26, 26.25, 25.65),
    },
    "ZS-N2N (one image)": {
        15: (30.14, 32.19, 30.58, 29.52, 30.15, 29.98, 30.19, None, 27.70, 30.06, 30.06, 29.59),
        25: (27.32, 29.36, 27.46, 26.61, 27.20, 27.02, 27.16, None, 25.49, 27.26, 27.48, 26.63),
        50: (23.36, 25.17, 23.86, 22.92, 22.95, 23.39, 22.87, None, 22.62, 23.93, 24.30, 23.30),
    },
}
# fmt: on
PUBLISHED_SOURCE = (
    "Published rows: values for the same images from the tables of ADNet (Tian et al., Neural"
    " Networks 2020) and, for ZS-NCD and ZS-N2N, both at their best iteration, of arXiv 2506.12693;"
    " other noise than the measured rows."
)


def published(method: str, damage: Damage, image: str) -> float | None:
    """PSNR of an image such as "set12/02.png", None if there is none."""
    values = None if damage.missing else PUBLISHED[method].get(damage.sigma)
    folder, _, file = image.partition("/")
    if values is None or folder != "set12":
        return None
    return values[int(file.removesuffix(".png")) - 1]


def published_mean(method: str, damage: Damage, images: Sequence[str]) -> float | None:
    """Mean over images, None if one of them has no value."""
    values = [published(method, damage, image) for image in images]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
