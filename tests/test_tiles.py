"""Images in tiles: the same as the whole, to the last bit where the halo is wide enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_AMPLITUDE, step_image

from denoise.noise.interface import Noise
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.options import DenoiseOptions
from denoise.patches import PatchGrid, Place
from denoise.presets import preset
from denoise.series import SeriesModel, denoise_series, learn_series
from denoise.tiles import denoise_in_tiles, denoise_tiles, drawn_parts, exact_halo, tiles_of

SIGMA = 20.0
# Refinement reaches 7 pixels.
SHORT = replace(
    TINY_AMPLITUDE,
    refinement=replace(TINY_AMPLITUDE.refinement, window=2, noise_kept=(0.5, 0.0), stride=2),
)


def noisy_image(height: int = 70, width: int = 84, channels: int | None = None) -> np.ndarray:
    clean = step_image(height, width)
    if channels:
        clean = np.stack([clean, 0.5 * clean + 40, 200 - clean], 2)
    return clean + np.random.default_rng(0).normal(0, SIGMA, clean.shape)


def learned(
    image: np.ndarray, noise: Noise, options: DenoiseOptions, data_range: float | None = None
) -> SeriesModel:
    parts = np.stack([image[:32, :32], image[-32:, -32:]])
    return learn_series(parts, noise, options=options, data_range=data_range, of_one_image=True)


def in_tiles(image: np.ndarray, model: SeriesModel, **how: int) -> np.ndarray:
    denoised = np.full(image.shape, np.nan, np.float32)
    for tile, result in denoise_tiles(image, model, **how):
        assert np.isnan(denoised[tile.core]).all()
        denoised[tile.core] = result.image
    return denoised


@pytest.mark.parametrize("core", [24, 37, 1000])
@pytest.mark.parametrize("halo", [0, 5, 30])
def test_cores_cover_an_image_once_and_begin_where_its_patches_do(core: int, halo: int) -> None:
    options = preset("fast")
    count = np.zeros((101, 76), int)
    for tile in tiles_of(count.shape, options, core=core, halo=halo):
        count[tile.core] += 1
        rows, columns = np.mgrid[tile.seen]
        assert (tile.cut(rows) == np.mgrid[tile.core][0]).all()
        assert (tile.cut(columns) == np.mgrid[tile.core][1]).all()
        # Patches lie 2 and 3 pixels apart.
        assert rows[0, 0] % 6 == columns[0, 0] % 6 == 0
        for seen, own, size in zip(tile.seen, tile.core, count.shape, strict=True):
            assert own.start - seen.start >= min(halo, own.start)
            assert seen.stop - own.stop >= min(halo, size - own.stop)
            assert own.stop - own.start <= core + 5
    assert (count == 1).all()


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("core", [24, 40, 64])
def test_with_the_exact_halo_it_is_the_whole_to_the_last_bit(
    channels: int | None, core: int
) -> None:
    image = noisy_image(channels=channels)
    model = learned(image, GaussianNoise(SIGMA), SHORT, 255)
    (whole,) = denoise_series([image], model, data_range=255)
    halo = exact_halo(SHORT)
    assert halo < 30
    assert in_tiles(image, model, core=core, halo=halo).tobytes() == whole.image.tobytes()
    assert in_tiles(image, model, core=core, halo=6).tobytes() != whole.image.tobytes()
