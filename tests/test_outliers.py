"""Hot pixels, salt and pepper, stripes: found where they are, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from denoise.noise.outliers import find_outliers, find_stripes, without_outliers

SAMPLES = Path(__file__).parents[1] / "sample_images"
NAMES = ["camera", "chelsea", "camera_sigma25", "chelsea_sigma25"]


def sample(name: str) -> np.ndarray:
    image = np.asarray(Image.open(SAMPLES / f"{name}.png"), np.float64)
    return image.reshape(*image.shape[:2], -1)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_noise_have_no_outliers_or_stripes(name: str) -> None:
    assert find_outliers(sample(name)) is None
    assert find_stripes(sample(name)) is None
    strong = sample(name) + np.random.default_rng(0).normal(0, 50, sample(name).shape)
    assert find_outliers(np.clip(np.rint(strong), 0, 255)) is None


def test_single_photons_are_no_outliers() -> None:
    photons = 20.0 * np.random.default_rng(0).poisson(0.05, (128, 128, 1))
    assert find_outliers(photons) is None
    stars = np.zeros((64, 64, 1))
    stars[10:12, 20:22] = 200.0
    assert find_outliers(stars + np.random.default_rng(0).normal(0, 1, stars.shape)) is None


def test_hot_and_dead_pixels_are_found_and_replaced_by_what_is_around() -> None:
    clean = np.linspace(80, 160, 64)[:, None, None] * np.ones((64, 64, 1))
    noisy = clean + np.random.default_rng(1).normal(0, 3, clean.shape)
    places = [(5, 5), (20, 40), (21, 40), (0, 63), (63, 0)]
    noisy[5, 5] = noisy[20, 40] = noisy[21, 40] = 1000.0
    noisy[0, 63] = noisy[63, 0] = 0.0
    found = find_outliers(noisy)
    assert found is not None
    assert (found.kind, found.count) == ("hot or dead pixels", 5)
    assert sorted(map(tuple, np.argwhere(found.where))) == sorted(places)
    filled = without_outliers(noisy, found.where)
    for place in places:
        assert filled[place] == pytest.approx(clean[place], abs=8)
    assert np.array_equal(filled[~found.where], noisy[~found.where])


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_salt_and_pepper_is_found_and_removed(share: float) -> None:
    generator = np.random.default_rng(2)
    clean = np.clip(sample("chelsea"), 3, 252)
    noisy, drawn = clean.copy(), generator.random(clean.shape[:2])
    noisy[drawn < share / 2], noisy[drawn > 1 - share / 2] = 0, 255
    found = find_outliers(noisy)
    assert found is not None and found.kind == "salt and pepper"
    truth = (drawn < share / 2) | (drawn > 1 - share / 2)
    assert (found.where & truth).sum() > 0.9 * truth.sum()
    assert (found.where & ~truth).sum() < 0.01 * truth.sum()
    before = np.square(noisy - clean).mean()
    assert np.square(without_outliers(noisy, found.where) - clean).mean() < before / 20


def test_an_outlier_among_outliers_takes_what_is_farther_away() -> None:
    pixels = np.full((9, 9, 1), 5.0)
    where = np.zeros((9, 9), bool)
    where[2:7, 2:7] = True
    pixels[where] = 99.0
    assert np.array_equal(without_outliers(pixels, where), np.full((9, 9, 1), 5.0))


@pytest.mark.parametrize("along", ["rows", "columns"])
def test_stripes_are_named(along: str) -> None:
    generator = np.random.default_rng(0)
    image = sample("camera") + generator.normal(0, 10, (256, 256, 1))
    shape = (256, 1, 1) if along == "rows" else (1, 256, 1)
    assert find_stripes(image + generator.normal(0, 8, shape)) == along


@pytest.mark.parametrize("sigma", [0, 5, 15])
def test_lines_of_text_are_no_stripes(sigma: float) -> None:
    image = Image.new("L", (256, 256), 255)
    draw = ImageDraw.Draw(image)
    for row in range(8, 250, 12):
        draw.text((8, row), "The quick brown fox jumps 0123456789 again", fill=0)
    noise = sigma * np.random.default_rng(0).standard_normal((256, 256))
    assert find_stripes((np.asarray(image) + noise)[..., None]) is None
