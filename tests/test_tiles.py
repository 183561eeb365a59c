"""Images in tiles: the same as the whole, to the last bit where the halo is wide enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_AMPLITUDE, step_image

from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.options import DenoiseOptions, RefinementOptions
from denoise.patches import PatchGrid, Place
from denoise.pipeline.run import Run
from denoise.pipeline.series import SeriesModel, denoise_series, learn_series, scaled_to
from denoise.pipeline.tiled import denoise_frames, denoise_in_tiles, denoise_tiles
from denoise.pipeline.tiles import drawn_parts, exact_halo, tiles_of
from denoise.presets import preset

SIGMA = 20.0
# Pixels depend on others up to 33 pixels away.
SHORT = replace(
    TINY_AMPLITUDE,
    inference=replace(TINY_AMPLITUDE.inference, chunk_size=4096),
    refinement=RefinementOptions(
        patch_sizes=(4,),
        stride=2,
        window=2,
        group_size=20,
        noise_kept=(0.5, 0.0),
        last_patch_sizes=(5,),
    ),
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
    run = Run(options=options, data_range=data_range)
    return learn_series(parts, noise, run, of_one_image=True)


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
        assert (rows[tile.core_seen] == np.mgrid[tile.core][0]).all()
        assert (columns[tile.core_seen] == np.mgrid[tile.core][1]).all()
        # Patches lie 2 and 3 pixels apart.
        assert rows[0, 0] % 6 == columns[0, 0] % 6 == 0
        for seen, own, size in zip(tile.seen, tile.core, count.shape, strict=True):
            assert own.start - seen.start >= min(halo, own.start)
            assert seen.stop - own.stop >= min(halo, size - own.stop)
            assert own.stop - own.start <= core + 5
    assert (count == 1).all()


@pytest.mark.parametrize(("channels", "core"), [(None, 30), (3, 40), (None, 64)])
def test_with_the_exact_halo_it_is_the_whole_to_the_last_bit(
    channels: int | None, core: int
) -> None:
    image = noisy_image(channels=channels)
    model = learned(image, GaussianNoise(SIGMA), SHORT, 255)
    (whole,) = denoise_series([image], model)
    halo = exact_halo(SHORT)
    assert halo == 33
    assert in_tiles(image, model, core=core, halo=halo).tobytes() == whole.image.tobytes()
    assert in_tiles(image, model, core=core, halo=6).tobytes() != whole.image.tobytes()


def test_the_reach_that_is_named_is_not_far_beyond_the_real_one() -> None:
    image = noisy_image()
    model = learned(image, GaussianNoise(SIGMA), SHORT, 255)
    (before,) = denoise_series([image], model)
    image[35, 42] += 3 * SIGMA
    (after,) = denoise_series([image], model)
    rows, columns = np.nonzero(before.image != after.image)
    reach = max(abs(rows - 35).max(), abs(columns - 42).max())
    assert 0.4 * exact_halo(SHORT) < reach <= exact_halo(SHORT)


def test_counts_of_photons_have_one_brightness_in_all_tiles() -> None:
    generator = np.random.default_rng(0)
    bright = np.linspace(2.0, 40.0, 84) * np.ones((70, 1))
    image = generator.poisson(bright).astype(np.float64)
    model = learned(image, PoissonGaussianNoise(1, 0.1), SHORT)
    assert model.scale is not None and model.scale.shift is not None
    (whole,) = denoise_series([image], model)
    assert (
        in_tiles(image, model, core=40, halo=exact_halo(SHORT)).tobytes() == whole.image.tobytes()
    )
    assert abs(np.mean(whole.image - bright)) < 0.5


def test_few_photons_are_looked_at_twice_in_all_tiles_or_in_none() -> None:
    generator = np.random.default_rng(0)
    light = np.linspace(0.5, 9.0, 140) * np.ones((70, 1))  # the right half has many photons
    image = generator.poisson(light).astype(np.float64)
    model = learned(image[:, :70], PoissonGaussianNoise(1, 0.1), SHORT)
    assert len(model.second) > 0
    (whole,) = denoise_series([image], model)
    halo = exact_halo(SHORT, looks=2)
    assert in_tiles(image, model, core=70, halo=halo).tobytes() == whole.image.tobytes()


def test_a_tile_without_contrast_or_with_an_extreme_value_is_like_its_neighbours() -> None:
    image = noisy_image()
    image[:40, :40] = np.random.default_rng(1).normal(1000, SIGMA, (40, 40))
    image[50, 60] = 1e7
    model = learned(image, GaussianNoise(SIGMA), SHORT, 255)
    (whole,) = denoise_series([image], model)
    tiled = in_tiles(image, model, core=24, halo=exact_halo(SHORT))
    assert tiled.tobytes() == whole.image.tobytes()
    assert tiled[50, 60] == 1e7


def test_random_numbers_belong_to_the_place_in_the_whole_image() -> None:
    whole = PatchGrid((20, 30, 1), 4, torch.device("cpu"))
    part = PatchGrid((11, 12, 1), 4, torch.device("cpu"), Place(5, 9, 30))
    rows, columns = torch.arange(len(part)) // part.columns, torch.arange(len(part)) % part.columns
    expected = (rows + 5) * whole.columns + columns + 9
    assert torch.equal(part.in_whole(torch.arange(len(part))), expected)
    image = noisy_image(24, 60)
    model = learned(image, GaussianNoise(SIGMA), replace(TINY, refinement=None), 255)
    (first,) = denoise_series([image], model)
    tiled = in_tiles(image, model, core=30, halo=exact_halo(model.options))
    # Products of matrices may round differently, which no more than a few patches notice.
    assert (np.abs(tiled - first.image) > 1e-3).mean() < 0.02


def test_parts_are_spread_over_the_image_and_drawn_anew_for_each_seed() -> None:
    areas = drawn_parts((3000, 5000))
    assert len(areas) == 16 and areas != drawn_parts((3000, 5000), 1)
    assert {(row.stop - row.start, column.stop - column.start) for row, column in areas} == {
        (512, 512)
    }
    starts = sorted((row.start // 622, column.start // 1122) for row, column in areas)
    assert starts == [(row, column) for row in range(4) for column in range(4)]
    assert drawn_parts((40, 600))[0][0] == slice(0, 40)


def test_an_image_in_memory_comes_out_in_one_piece() -> None:
    image = noisy_image()
    steps: list[tuple[str, int, int]] = []
    run = Run(
        options=SHORT,
        data_range=255,
        with_uncertainty=True,
        on_progress=lambda step: steps.append((step.stage, step.done, step.total)),
    )
    result = denoise_in_tiles(image, SIGMA, run, core=42, halo=exact_halo(SHORT))
    assert result.tiles == 4 and steps[-1] == ("tiles", 4, 4)
    assert len(result.elbo_history) == SHORT.training.epochs
    assert result.uncertainty is not None and (result.uncertainty > 0).all()
    clean = step_image(70, 84)
    assert np.std(result.image - clean) < 0.6 * np.std(image - clean)
    again = denoise_in_tiles(image, SIGMA, replace(run, models=result.models), core=42)
    assert again.elbo_history == ()


@pytest.mark.parametrize("photons", [2.0, 60.0])
def test_a_model_of_a_series_is_scaled_to_an_image_as_if_it_were_learned_on_it(
    photons: float,
) -> None:
    generator = np.random.default_rng(0)
    parts = generator.poisson(photons, (2, 16, 16)).astype(np.float64)
    others = generator.poisson(2.0, (2, 16, 16)).astype(np.float64)
    noise, run = PoissonGaussianNoise(1, 0.1), Run(options=replace(SHORT, refinement=None))
    series = learn_series(others, noise, run)
    assert series.scale is None and len(series.second) > 0
    scaled, alone = scaled_to(series, parts), learn_series(parts, noise, run, of_one_image=True)
    assert scaled.models == series.models
    assert bool(scaled.second) == bool(alone.second) == (photons < 10)
    same = scaled_to(alone, parts)
    assert (same.scale, same.second_scale) == (alone.scale, alone.second_scale)
    assert scaled.scale is not None and alone.scale is not None
    assert replace(scaled.scale, shift=0) == replace(alone.scale, shift=0)


@pytest.mark.parametrize("temporal", [0, 1])
def test_large_images_of_a_series_are_cut_unless_they_help_each_other(
    temporal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    halo = exact_halo(SHORT)
    for name, value in (("tiles.LARGE", 2000), ("tiled.CORE", 30), ("tiled.HALO", halo)):
        monkeypatch.setattr(f"denoise.pipeline.{name}", value)
    frames = [noisy_image(50, 60), noisy_image(50, 60)[::-1].copy()]
    model = learn_series(np.stack(frames), SIGMA, Run(options=SHORT, data_range=255))
    whole = list(denoise_series(frames, model, temporal=temporal))
    found = list(denoise_frames(iter(frames), model, temporal=temporal))
    assert [one.tiles for one in found] == ([None, None] if temporal else [4, 4])
    assert [one.image.tobytes() for one in found] == [one.image.tobytes() for one in whole]
