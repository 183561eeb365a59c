"""Pictures of results: where the detail is, sizes, what the panels show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_AMPLITUDE, step_image

from denoise import denoise_image
from denoise.files.image_file import ImageFile
from denoise.metrics import Quality
from denoise.pictures.comparison import (
    CAPTION_HEIGHT,
    GAP,
    comparison,
    curve_table,
    draw_curves,
    most_detailed,
)


def image_file(pixels: np.ndarray, sample_type: str = "uint8") -> ImageFile:
    return ImageFile(Path("x.png"), pixels.astype(np.float32), sample_type=sample_type)


def test_the_square_with_the_largest_gradients_is_found() -> None:
    pixels = np.zeros((200, 300), np.float32)
    pixels[120:150:2, 210:240] = 255
    found = most_detailed(pixels)
    assert found is not None
    top, left, side = found
    assert side == 40
    assert top <= 120 < 149 <= top + side
    assert left <= 210 < 239 <= left + side
    assert most_detailed(np.zeros((40, 300), np.float32)) is None


@pytest.mark.parametrize(
    ("shape", "panel", "zoomed"),
    [
        ((100, 128), (200, 256), True),
        ((24, 24), (264, 264), False),
        ((640, 1280), (320, 640), True),
        ((100, 128, 3), (200, 256), True),
    ],
)
def test_panels_have_a_size_that_can_be_looked_at(
    shape: tuple[int, ...], panel: tuple[int, int], zoomed: bool
) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, shape)
    noisy, clean = image_file(pixels), image_file(pixels / 2)
    quality = Quality(20.0, 30.0, 0.5, 0.9)
    height = CAPTION_HEIGHT + panel[0] + (GAP + panel[1] if zoomed else 0)
    with_reference = comparison(noisy, clean, clean, quality)
    assert with_reference.shape == (height, 4 * (panel[1] + GAP) - GAP, 3)
    assert comparison(noisy, clean, None, None).shape == (height, 3 * (panel[1] + GAP) - GAP, 3)


def test_no_error_is_middle_gray_and_floats_are_stretched() -> None:
    pixels = np.linspace(0.1, 0.2, 64 * 64).reshape(64, 64)
    image = image_file(pixels, "float32")
    figure = comparison(image, image, image, Quality(20.0, 30.0, None, None))
    width = 256 + GAP
    panels = figure[CAPTION_HEIGHT + 1 : CAPTION_HEIGHT + 60]
    assert panels[:, :40].max() < 80  # the darkest of the float values are drawn dark
    error = figure[CAPTION_HEIGHT:, 3 * width : 3 * width + 256]
    assert set(np.unique(error[2:200, 2:100, 1])) <= {127, 128, 32}


def test_the_curve_holds_every_epoch_of_every_model() -> None:
    noisy = step_image() + np.random.default_rng(0).normal(0, 20, (24, 24))
    models = denoise_image(noisy, 20, options=TINY_AMPLITUDE, device="cpu").models
    rows = [line.split(",") for line in curve_table(models).splitlines()[1:]]
    assert [(int(size), int(epoch)) for size, epoch, *_ in rows] == [
        (size, epoch) for size in (4, 3) for epoch in (1, 2, 3, 4)
    ]
    for size, _, elbo, per_value in rows:
        assert float(per_value) == pytest.approx(float(elbo) / int(size) ** 2, abs=1e-5)
    picture = draw_curves(models)
    for colour in ((0x1F, 0x77, 0xB4), (0xD6, 0x27, 0x28)):
        assert (picture == colour).all(2).sum() > 50
