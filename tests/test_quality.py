"""A floor for the quality of the command's own presets, on the images that every clone has."""

from __future__ import annotations

import pytest
from conftest import SAMPLES

from denoise import denoise_image
from denoise.files.images import read_image
from denoise.metrics import psnr

SIGMA = 25.0
# What a change may cost without a word, in dB.
TOLERANCE = 0.05


@pytest.mark.parametrize(
    ("name", "corner", "side", "measured"),
    [
        ("camera", 0, 256, 30.250),  # gray, the whole image; 2026-11-27
        ("chelsea", 48, 160, 30.220),  # colour, its centre; 2026-11-27
    ],
)
def test_fast_is_as_good_as_it_was(name: str, corner: int, side: int, measured: float) -> None:
    """The PSNR in dB was measured on a CPU, with torch 2.13, on the day given."""
    crop = slice(corner, corner + side), slice(corner, corner + side)
    clean = read_image(SAMPLES / f"{name}.png").pixels[crop]
    noisy = read_image(SAMPLES / f"{name}_sigma25.png").pixels[crop]
    result = denoise_image(noisy, SIGMA, preset="fast", data_range=255, device="cpu")
    assert psnr(clean, result.image) > measured - TOLERANCE
