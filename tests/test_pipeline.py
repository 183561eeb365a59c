"""The library from array to array."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SAMPLES, SHARED_DATA, TINY, TINY_AMPLITUDE, step_image
from PIL import Image

from denoise import DenoiseOptions, Progress, denoise_image, preset
from denoise.errors import OptionError
from denoise.files.samples import to_8bit
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.presets import Overrides

SIGMA = 20.0
BOTH = pytest.mark.parametrize("tiny", [TINY, TINY_AMPLITUDE], ids=["mlp", "amplitude"])


def noisy_steps(*shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    clean = step_image(*(shape or (24, 24)))
    return clean, add_gaussian_noise(clean, SIGMA, generator=np.random.default_rng(seed))


@BOTH
def test_a_noisy_image_gets_better_by_several_decibels(tiny: DenoiseOptions) -> None:
    clean, noisy = noisy_steps(32, 32)
    options = replace(
        tiny,
        training=replace(tiny.training, epochs=15, patch_budget=2000),
        inference=replace(tiny.inference, search_steps=4),
    )
    before = noisy.copy()
    result = denoise_image(noisy, SIGMA, options=options, device="cpu")
    assert np.array_equal(noisy, before)
    assert result.image.shape == noisy.shape
    assert result.image.dtype == np.float32
    assert psnr(clean, result.image) > psnr(clean, noisy) + 6
    assert result.elbo_history[-1] > result.elbo_history[0]
    assert result.learned_sigma == pytest.approx(SIGMA, rel=0.15)
    assert set(result.seconds) == {"train", "rebuild", "refine"}


@BOTH
@pytest.mark.parametrize("shape", [(24, 24), (17, 31), (24, 24, 1), (13, 19, 3), (4, 40)])
def test_shapes_come_back(tiny: DenoiseOptions, shape: tuple[int, ...]) -> None:
    noisy = np.random.default_rng(0).normal(100, SIGMA, shape)
    assert denoise_image(noisy, SIGMA, options=tiny, device="cpu").image.shape == shape


@BOTH
def test_same_seed_same_result_another_seed_another(tiny: DenoiseOptions) -> None:
    _, noisy = noisy_steps()
    runs = [denoise_image(noisy, SIGMA, options=tiny, seed=s, device="cpu") for s in (3, 3, 4)]
    assert np.array_equal(runs[0].image, runs[1].image)
    assert runs[0].elbo_history == runs[1].elbo_history
    assert not np.array_equal(runs[0].image, runs[2].image)


@BOTH
@pytest.mark.parametrize("patch_budget", [50, 10_000], ids=["some trained", "all trained"])
def test_chunk_size_does_not_change_the_result(tiny: DenoiseOptions, patch_budget: int) -> None:
    _, noisy = noisy_steps(12, 12)
    images = []
    for chunk_size in (1, 37, 100_000):
        options = replace(
            tiny,
            training=replace(tiny.training, patch_budget=patch_budget),
            inference=replace(tiny.inference, chunk_size=chunk_size),
        )
        images.append(denoise_image(noisy, SIGMA, options=options, device="cpu").image)
    np.testing.assert_allclose(images[0], images[1], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(images[0], images[2], rtol=1e-5, atol=1e-3)


@BOTH
def test_scaling_the_image_and_sigma_scales_the_result(tiny: DenoiseOptions) -> None:
    _, noisy = noisy_steps()
    first = denoise_image(noisy, SIGMA, options=tiny, device="cpu")
    second = denoise_image(noisy / 256, SIGMA / 256, options=tiny, device="cpu")
    np.testing.assert_allclose(second.image * 256, first.image, rtol=1e-6)


@pytest.mark.parametrize("tiny", [TINY, TINY_AMPLITUDE])
def test_fewer_patches_rebuild_nearly_the_same_image(tiny: DenoiseOptions) -> None:
    noisy = add_gaussian_noise(step_image(), 20, generator=np.random.default_rng(0))
    images, progress = [], []
    for stride in (1, 2):
        inference = replace(tiny.inference, stride=stride)
        options = replace(tiny, inference=inference, refinement=None)
        report: list[Progress] = []
        result = denoise_image(noisy, 20, options=options, device="cpu", on_progress=report.append)
        images.append(result.image)
        progress.append([one for one in report if one.stage == "rebuild"][-1])
    assert progress[1].done == progress[1].total < progress[0].done / 2
    assert 0 < np.abs(images[1] - images[0]).mean() < 5


@pytest.mark.parametrize(
    ("preset", "sigma", "eight_bit"),
    [("fast", 15, True), ("fast", 50, False), ("paper", 15, False), ("paper", 50, True)],
)
def test_a_preset_gives_the_same_picture_in_any_units(
    preset: str, sigma: float, eight_bit: bool
) -> None:
    noisy = noisy_contrasts(sigma, side=16)
    image = to_8bit(noisy) if eight_bit else noisy
    brief = Overrides(epochs=1, patch_budget=400)
    first, second = (
        denoise_image(pixels, level, preset=preset, overrides=brief, device="cpu")
        for pixels, level in ((image, sigma), (image / 255, sigma / 255))
    )
    np.testing.assert_allclose(255 * second.image, first.image, atol=255 * 1e-5)
    assert first.options.model.patch_sizes == second.options.model.patch_sizes
    assert not np.allclose(first.image, image, atol=1)


def noisy_contrasts(sigma: float, side: int = 40) -> np.ndarray:
    """From black to white, and clipped at both ends if it is an image of bytes."""
    clean = np.clip(3 * step_image(side, side) - 250, 0, 255)
    return add_gaussian_noise(clean, sigma, generator=np.random.default_rng(3))


def test_the_range_of_the_data_decides_whether_noise_is_strong() -> None:
    noisy = noisy_contrasts(25)
    sizes = [
        denoise_image(
            noisy, 25, data_range=data_range, overrides=Overrides(epochs=1), device="cpu"
        ).options.model.patch_sizes
        for data_range in (None, 255, 100)
    ]
    assert sizes[0] == sizes[1] < sizes[2]
    for wrong in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(OptionError, match="data_range must be positive and finite"):
            denoise_image(noisy, 25, data_range=wrong)


@BOTH
@pytest.mark.parametrize("free_patch_mean", [False, True])
def test_missing_pixels_are_filled_in(tiny: DenoiseOptions, free_patch_mean: bool) -> None:
    clean, noisy = noisy_steps()
    holes = np.random.default_rng(5).random(noisy.shape) < 0.2
    holes[10:13, 10:13] = True
    options = replace(
        tiny,
        model=replace(tiny.model, free_patch_mean=free_patch_mean),
        training=replace(tiny.training, epochs=15, patch_budget=2000),
    )
    damaged = np.where(holes, np.nan, noisy)
    image = denoise_image(damaged, SIGMA, options=options, device="cpu").image
    assert np.isfinite(image).all()
    error = np.abs(image - clean)
    assert error[holes].mean() < SIGMA


@BOTH
@pytest.mark.parametrize("side", [6, 25])
def test_holes_larger_than_a_patch_are_filled_from_their_rim(
    tiny: DenoiseOptions, side: int
) -> None:
    """In the larger one, most pixels share no patch with an observed one."""
    noisy = np.random.default_rng(0).normal(200, 20, (40, 40))
    noisy[10 : 10 + side, 10 : 10 + side] = np.nan
    result = denoise_image(noisy, 20, options=tiny, device="cpu", with_uncertainty=True)
    np.testing.assert_allclose(result.image, 200, atol=45)
    assert np.isfinite(result.uncertainty).all()


@BOTH
@pytest.mark.parametrize("sigma", [0.05, 1.0])
def test_weak_noise_on_a_bright_image_keeps_its_precision(
    tiny: DenoiseOptions, sigma: float
) -> None:
    image = np.full((16, 16), 255.0)
    result = denoise_image(image, sigma, options=tiny, device="cpu")
    np.testing.assert_allclose(result.image, 255, atol=sigma)
    assert result.learned_sigma >= 0


@BOTH
def test_constant_image_stays_constant(tiny: DenoiseOptions) -> None:
    image = denoise_image(np.full((16, 16), 77.0), 5.0, options=tiny, device="cpu").image
    np.testing.assert_allclose(image, 77, atol=0.5)


@BOTH
def test_constant_image_with_learned_noise_stays_finite(tiny: DenoiseOptions) -> None:
    options = replace(tiny, model=replace(tiny.model, learn_noise_variance=True))
    image = denoise_image(np.full((16, 16), 77.0), 5.0, options=options, device="cpu").image
    np.testing.assert_allclose(image, 77, atol=5)


def test_progress_is_told_in_order_to_the_end() -> None:
    events: list[Progress] = []
    _, noisy = noisy_steps()
    result = denoise_image(noisy, SIGMA, options=TINY, device="cpu", on_progress=events.append)
    train = [event for event in events if event.stage == "train"]
    rebuild = [event for event in events if event.stage == "rebuild"]
    assert events == train + rebuild
    assert [event.done for event in train] == [1, 2, 3, 4]
    assert [event.elbo for event in train] == list(result.elbo_history)
    assert rebuild[-1].done == rebuild[-1].total == 21 * 21


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_agrees_with_cpu() -> None:
    clean, noisy = noisy_steps(40, 40)
    qualities = [psnr(clean, denoise_image(noisy, SIGMA, device=d).image) for d in ("cpu", "cuda")]
    assert qualities[0] == pytest.approx(qualities[1], abs=0.3)


@pytest.mark.slow
def test_house_reaches_its_quality() -> None:
    """The default preset on Set12's House, unclipped noise of sigma 25: at least 33 dB."""
    path = SHARED_DATA / "set12" / "02.png"
    if not path.exists():
        pytest.skip(f"the test image {path} is not part of the repository")
    clean = np.asarray(Image.open(path), dtype=np.float64)
    noisy = add_gaussian_noise(clean, 25, generator=np.random.default_rng(2))
    assert psnr(clean, denoise_image(noisy, 25).image) > 33.0


def test_a_short_default_run_already_denoises() -> None:
    """The default preset with fewer epochs, on a crop of a sample image."""
    clean = np.asarray(Image.open(SAMPLES / "camera.png"), dtype=np.float64)[40:104, 90:154]
    noisy = add_gaussian_noise(clean, 25, generator=np.random.default_rng(2))
    options = preset("balanced")
    options = replace(options, training=replace(options.training, epochs=6))
    assert psnr(clean, denoise_image(noisy, 25, options=options).image) > psnr(clean, noisy) + 4
