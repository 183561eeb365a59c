"""The noise level: laws that any estimate must keep, known answers, and what is no use to ask."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLES, SHARED_DATA, TINY_AMPLITUDE, estimated_sigma, step_image
from typer import Typer
from typer.testing import CliRunner

from denoise.errors import ImageError
from denoise.files.images import read_image, write_image
from denoise.files.samples import to_8bit
from denoise.noise.gaussian import add_gaussian_noise, estimate_gaussian
from denoise.noise.pixels import clean_range
from noise_levels import main

# Noise levels, and the relative error that is allowed on a photograph.
PHOTOGRAPH_ERRORS = {5: 0.06, 10: 0.04, 25: 0.03, 50: 0.03}


def white_noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def noisy_camera(sigma: float = 10.0, *, seed: int = 0) -> np.ndarray:
    clean = read_image(SAMPLES / "camera.png").pixels
    return add_gaussian_noise(clean, sigma, generator=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("shape", "spread"),
    [((16, 16), 0.07), ((32, 48), 0.04), ((24, 100, 2), 0.03), ((64, 64), 0.025)],
)
def test_pure_noise_is_measured_without_bias(shape: tuple[int, ...], spread: float) -> None:
    estimates = [estimated_sigma(white_noise(*shape, seed=seed)) for seed in range(40)]
    assert np.mean(estimates) == pytest.approx(1, abs=3 * spread / math.sqrt(40))
    assert np.std(estimates) < spread


def test_sampling_from_a_large_image_changes_little() -> None:
    assert estimated_sigma(white_noise(300, 500)) == pytest.approx(1, abs=0.015)


def test_the_estimate_scales_and_does_not_see_a_constant() -> None:
    noisy = noisy_camera()
    sigma = estimated_sigma(noisy)
    assert estimated_sigma(noisy / 255) == pytest.approx(sigma / 255, rel=1e-9)
    assert estimated_sigma(-3 * noisy + 1000) == pytest.approx(3 * sigma, rel=1e-9)


def test_steps_and_slopes_are_not_noise() -> None:
    slope = step_image(64, 64) + np.arange(64.0)
    assert estimated_sigma(slope + 3 * white_noise(64, 64)) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(
    ("name", "sigma", "clip"),
    [
        *[("camera", sigma, sigma in (10, 50)) for sigma in PHOTOGRAPH_ERRORS],
        *[("chelsea", sigma, sigma in (5, 25)) for sigma in PHOTOGRAPH_ERRORS],
    ],
)
def test_photographs(name: str, sigma: float, clip: bool) -> None:
    """Of floats, and of 8 bits."""
    clean = read_image(SAMPLES / f"{name}.png").pixels[:192, :192]
    noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(1))
    found = estimated_sigma(to_8bit(noisy) if clip else noisy)
    assert found == pytest.approx(sigma, rel=PHOTOGRAPH_ERRORS[sigma])


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the images of ../shared/data")
@pytest.mark.parametrize(("sigma", "error"), [(5, 0.035), (10, 0.02), (25, 0.01)])
def test_mean_error_on_the_benchmark_images(sigma: float, error: float) -> None:
    paths = [*SHARED_DATA.glob("set12/0[1-7].png"), *SHARED_DATA.glob("kodak24_crop256/*.png")]
    errors = []
    for seed, path in enumerate(sorted(paths)):
        noisy = add_gaussian_noise(
            read_image(path).pixels, sigma, generator=np.random.default_rng(seed)
        )
        errors.append(abs(estimated_sigma(noisy) / sigma - 1))
    assert len(errors) == 13
    assert np.mean(errors) < error
    assert max(errors) < 3 * error


def test_channels_count_by_their_mean_variance() -> None:
    noise = white_noise(96, 96, 3)
    assert estimated_sigma(noise * [5, 10, 15]) == pytest.approx(math.sqrt(350 / 3), rel=0.03)
    assert estimated_sigma(noise[..., :2] * [5, 10]) == pytest.approx(math.sqrt(125 / 2), rel=0.03)
    gray = noisy_camera()[:128, :128]
    same = np.repeat(gray[..., None], 3, axis=2)
    assert estimated_sigma(same) == pytest.approx(estimated_sigma(gray), rel=1e-6)


def test_texture_of_brightness_is_told_from_noise_by_the_colours() -> None:
    """A rough texture alike in all channels, nowhere flat."""
    texture = np.kron(white_noise(64, 64, seed=1), np.ones((2, 2))) * 40
    texture += np.roll(texture, (1, 1), axis=(0, 1))
    texture += 60 * white_noise(128, 128, seed=2) ** 3
    noisy = texture[..., None] + 10 * white_noise(128, 128, 3)
    assert estimated_sigma(noisy[..., 0]) > 20
    assert estimated_sigma(noisy) == pytest.approx(10, rel=0.05)


def test_missing_values_are_ignored() -> None:
    noisy = noisy_camera()
    expected = estimated_sigma(noisy)
    hidden = np.random.default_rng(0).random(noisy.shape) < 0.02
    assert estimated_sigma(np.where(hidden, np.nan, noisy)) == pytest.approx(expected, rel=0.02)
    assert hidden.any()


def test_black_borders_do_not_count() -> None:
    noisy = noisy_camera()
    expected = estimated_sigma(noisy)
    for border in (0.0, 16.0, 255.0):
        framed = np.pad(noisy, ((20, 20), (0, 0)), constant_values=border)
        assert estimated_sigma(framed) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3)])
@pytest.mark.parametrize("value", [0, 17.3, 255])
def test_an_image_without_noise_has_none(shape: tuple[int, ...], value: float) -> None:
    assert estimate_gaussian(np.full(shape, value)) is None
    blocks = np.kron(white_noise(4, 4), np.ones((24, 24)))
    assert estimate_gaussian(100 + 30 * blocks) is None
    rows, columns = np.mgrid[:40, :40]
    assert estimate_gaussian((rows + 2.0 * columns).astype(np.float32)) is None


def test_an_overexposed_image_is_measured_where_it_is_not() -> None:
    clean = np.where(np.arange(128) < 50, 300.0, 120.0) * np.ones((128, 1))
    noisy = to_8bit(clean + 10 * white_noise(128, 128))
    assert estimated_sigma(noisy) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(20), r"expected \(height, width\).*shape \(20,\)"),
        (np.zeros((15, 40)), "the image is 40x15 pixels, too small"),
        (np.full((20, 20), np.inf), "infinite"),
        (np.full((20, 20), np.nan), "too few complete patches"),
        (
            np.where(np.random.default_rng(0).random((40, 40)) < 0.5, np.nan, 1.0),
            "too few complete patches",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        estimate_gaussian(image)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the images of ../shared/data")
@pytest.mark.parametrize("clip", [False, True], ids=["float", "8 bit"])
def test_the_range_of_clean_photographs_is_found_well_enough_for_presets(clip: bool) -> None:
    """Noise of sigma 25 of 255 is weak (below 35 of 255, for "paper" 30) and 50 is strong."""
    folders = ("set12", "photos_crop256", "kodak24_crop256")
    paths = [path for folder in folders for path in sorted((SHARED_DATA / folder).glob("*.png"))]
    assert len(paths) == 26
    shares = {}
    for sigma in (15, 25, 50):
        noisy = [
            add_gaussian_noise(
                read_image(path).pixels, sigma, generator=np.random.default_rng(seed)
            )
            for seed, path in enumerate(paths)
        ]
        noisy = [to_8bit(image) if clip else image for image in noisy]
        shares[sigma] = [sigma / clean_range(np.asarray(one, float), sigma) for one in noisy]
    assert max(shares[15]) < 30 / 255
    assert sum(share > 30 / 255 for share in shares[25]) <= 1
    assert max(shares[25]) < 35 / 255
    assert sum(share < 35 / 255 for share in shares[50]) <= 1


def test_the_range_follows_units_and_minds_neither_outliers_nor_holes() -> None:
    noisy = noisy_camera(25.0)
    extent = clean_range(noisy, 25.0)
    assert extent == pytest.approx(255, rel=0.15)
    assert clean_range(noisy / 255 + 3, 25 / 255) == pytest.approx(extent / 255)
    damaged = noisy.copy()
    damaged[::50, ::50] = np.nan
    damaged[3, 4:30] = 1e6
    assert clean_range(damaged, 25.0) == pytest.approx(extent, rel=0.02)
    assert clean_range(np.full((24, 24), 7.0), 2.0) == 2.0
    assert clean_range(np.array([0, 0, 9, 255.0, 255]), 80.0) == 255


def test_the_benchmark_prints_errors_and_what_they_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.pipeline.run.preset_for", lambda *_, **__: TINY_AMPLITUDE)
    monkeypatch.setattr("noise_levels.find_spec", lambda name: None)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        write_image(path, step_image(32, 40), overwrite=False)
    app = Typer()
    app.command()(main)
    arguments = [*map(str, paths), "--sigmas", "10,20", "--seeds", "2", "--psnr", "--clip"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    rows = [line.strip("|").split(" | ") for line in result.stdout.splitlines()[2:]]
    assert len(rows) == 2 * 5
    names = ["a.png", "b.png", "mean", "mean size", "largest size"]
    assert [row[1].strip() for row in rows] == 2 * names
    errors = np.array([[float(value.strip("| ")) for value in row[2:]] for row in rows[:5]])
    np.testing.assert_allclose(errors[:2].mean(0), errors[2], atol=0.011)
    np.testing.assert_allclose(np.abs(errors[:2]).max(0), errors[4], atol=0.011)
    assert 0 < errors[4].max() < 15
