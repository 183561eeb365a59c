"""Pixels that are no picture stay as they are, and hide no noise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from denoise import denoise_image
from denoise.files.samples import to_8bit
from denoise.noise.blank import blank_areas, filled_in
from denoise.noise.clipping import unclipped_variance
from denoise.noise.estimate import measure_noise
from denoise.noise.photons import estimate_growth

SIDE = 96
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
DISK = np.hypot(ROWS - 47.5, COLUMNS - 47.5) < 34


def noisy(sigma: float = 20.0, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """A wavy picture with noise, whole gray levels."""
    rows, columns = np.mgrid[:side, :side]
    clean = 120 + 40 * np.sin(columns / 15) + 30 * np.cos(rows / 11)
    noise = sigma * np.random.default_rng(seed).standard_normal((side, side))
    return np.clip(np.rint(clean + noise), 2, 253)


def page(noise: float, *, paper: int, ink: int, lines: int = 16) -> np.ndarray:
    """A scanned page of text."""
    image = Image.new("L", (256, 256), paper)
    draw = ImageDraw.Draw(image)
    for row in range(10, 246, lines):
        draw.text((12, row), "The quick brown fox jumps 0123456789", fill=ink)
    values = np.asarray(image, np.float64)
    generator = np.random.default_rng(0)
    return to_8bit(values + noise * generator.standard_normal(values.shape))


@pytest.mark.parametrize(
    ("image", "blank"),
    [
        (np.where(DISK, noisy(), 0), ~DISK),
        (np.where(COLUMNS < 70, 255, noisy()), COLUMNS < 70),
        (np.pad(noisy(), 5), np.pad(np.zeros((SIDE, SIDE), bool), 5, constant_values=True)),
        (np.dstack([noisy(seed=n) for n in range(3)]), np.zeros((SIDE, SIDE), bool)),
        (np.full((SIDE, SIDE), 7.0), np.ones((SIDE, SIDE), bool)),
        (np.full((15, 40), 7.0), np.zeros((15, 40), bool)),
    ],
    ids=["field of view", "white part", "frame", "colour", "constant", "small"],
)
def test_blank_areas_are_found_to_the_pixel(image: np.ndarray, blank: np.ndarray) -> None:
    found = blank_areas(image.reshape(*image.shape[:2], -1))
    assert np.array_equal(found, blank)


@pytest.mark.parametrize("photons", [0.1, 1.0, 5.0])
def test_few_photons_and_clipped_noise_are_not_blank(photons: float) -> None:
    generator = np.random.default_rng(0)
    counts = generator.poisson(photons, (128, 128, 1)).astype(float)
    assert not blank_areas(counts).any()
    assert not blank_areas(np.clip(generator.normal(-1, 1, (128, 128, 1)), 0, None)).any()


def test_what_is_left_out_is_continued_by_local_means() -> None:
    image = (100.0 + COLUMNS)[..., None]
    hidden = COLUMNS >= 60
    filled = filled_in(np.where(hidden[..., None], -9999.0, image), hidden)
    assert np.array_equal(filled[~hidden], image[~hidden])
    assert filled[hidden].min() > 155 and filled[hidden].max() < 160
    assert not filled_in(np.full((4, 4, 1), np.nan), np.ones((4, 4), bool)).any()


@pytest.mark.parametrize("blank", [COLUMNS < 70, ~DISK], ids=["page", "field of view"])
@pytest.mark.parametrize("value", [0, 90, 255])
@pytest.mark.parametrize("kind", ["auto", "gaussian"])
def test_noise_is_measured_beside_blank_areas(blank: np.ndarray, value: int, kind: str) -> None:
    measured = measure_noise(np.where(blank, value, noisy()), kind)
    assert measured.noise is not None
    assert measured.noise.sigma == pytest.approx(20, rel=0.06)
    assert measured.doubt == ""


def test_blank_areas_come_back_as_they_were() -> None:
    image = np.where(DISK, noisy(), 3.0)
    result = denoise_image(image, 20, preset="fast").image
    assert (result[~DISK] == 3).all()
    assert (result[DISK] != image[DISK]).mean() > 0.99


@pytest.mark.parametrize("lines", [11, 16, 30])
def test_a_clean_page_is_left_alone_and_the_reason_is_said(lines: int) -> None:
    measured = measure_noise(page(0, paper=255, ink=0, lines=lines))
    assert measured.noise is None
    assert "nothing flat" in measured.doubt


@pytest.mark.parametrize(
    ("paper", "ink", "sigma"),
    [(255, 0, 2), (255, 0, 15), (240, 20, 5), (0, 255, 5), (0, 255, 15), (30, 220, 2)],
)
def test_the_noise_of_a_scanned_page(paper: int, ink: int, sigma: float) -> None:
    found = measure_noise(page(sigma, paper=paper, ink=ink)).noise
    assert found is not None
    assert found.sigma == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("end", [-1.0, 0.0, 0.7, 2.0])
def test_clipped_noise_has_the_variance_that_it_had_before(end: float) -> None:
    values = 3 * np.random.default_rng(0).standard_normal(10**6)
    clipped = np.minimum(values, 3 * end)
    found = unclipped_variance(3 * end - clipped.mean(), clipped.var())
    assert found == pytest.approx(9, rel=0.01)


def test_text_is_not_noise_that_grows_with_the_light() -> None:
    assert estimate_growth(page(5, paper=30, ink=220)) is None


def test_texture_without_flat_parts_is_doubted() -> None:
    grass = 60 * np.random.default_rng(0).random((SIDE, SIDE)) ** 3
    grass[1:] += grass[:-1]
    measured = measure_noise(grass + noisy(1))
    assert "no part of it is flat" in measured.doubt
