"""Saved models: the same numbers after a round trip, and clear words for anything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_AMPLITUDE, step_image

from denoise import DenoiseOptions, denoise_image
from denoise.errors import ImageError, ModelFileError, OutputError
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.vae.saved import load_models, save_models

CPU = torch.device("cpu")
CLEAN = step_image(32, 32)
NOISY = add_gaussian_noise(CLEAN, 20, generator=np.random.default_rng(0))


@pytest.mark.parametrize("options", [TINY, TINY_AMPLITUDE], ids=["mlp", "amplitude"])
def test_a_loaded_model_denoises_another_image_without_learning(
    tmp_path: Path, options: DenoiseOptions
) -> None:
    options = replace(options, training=replace(options.training, epochs=10, patch_budget=2000))
    first = denoise_image(NOISY, 20, options=options, device="cpu")
    save_models(tmp_path / "model.npz", first.models)
    loaded = load_models(tmp_path / "model.npz", CPU)
    other = add_gaussian_noise(CLEAN.T, 20, generator=np.random.default_rng(1))
    images = [
        denoise_image(other, 20, options=options, models=models, device="cpu")
        for models in (first.models, loaded)
    ]
    assert np.array_equal(images[0].image, images[1].image)
    assert psnr(CLEAN.T, images[1].image) > psnr(CLEAN.T, other) + 4
    assert images[1].elbo_history == ()
    assert images[1].learned_sigma is None


def test_a_model_follows_another_noise_level() -> None:
    options = replace(
        TINY_AMPLITUDE, training=replace(TINY_AMPLITUDE.training, epochs=10, patch_budget=2000)
    )
    models = denoise_image(NOISY, 20, options=options, device="cpu").models
    weak = add_gaussian_noise(CLEAN, 5, generator=np.random.default_rng(2))
    image = denoise_image(weak, 5, options=options, models=models, device="cpu").image
    assert psnr(CLEAN, image) > psnr(CLEAN, weak) + 2


def test_a_model_for_other_units_is_refused() -> None:
    published = replace(TINY, model=replace(TINY.model, pixel_scale=1.0))
    for options in (TINY_AMPLITUDE, published):
        models = denoise_image(NOISY, 20, options=options, device="cpu").models
        denoise_image(NOISY, 20, options=options, models=models, device="cpu")
        with pytest.raises(ImageError, match=r"for noise of sigma 20, this image has 0\.078"):
            denoise_image(NOISY / 255, 20 / 255, options=options, models=models, device="cpu")


def test_channels_must_agree() -> None:
    models = denoise_image(NOISY, 20, options=TINY, device="cpu").models
    with pytest.raises(ImageError, match="learned on 1 channels, but the image has 3"):
        denoise_image(np.zeros((16, 16, 3)), 20, options=TINY, models=models, device="cpu")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(ModelFileError, match=r"model\.npz: no such file"):
        load_models(path, CPU)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.npz: is not a model file"):
        load_models(path, CPU)


def test_arrays_of_another_program_and_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, prior_probs=np.zeros(3))
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_models(path, CPU)
    np.savez(path, description=np.array([{"format": "code"}], dtype=object))
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_models(path, CPU)
    np.savez(path, description=np.array('{"format": "denoise model 99"}'))
    with pytest.raises(ModelFileError, match="holds 'denoise model 99', this version reads"):
        load_models(path, CPU)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0/prior_probs", np.full(5, 0.1, np.float32)),
        ("0/prior_probs", np.full(12, np.nan, np.float32)),
        ("0/amplitudes", np.zeros((12, 7), np.float32)),
        ("0/amplitudes", np.zeros((12, 16))),
        ("0/pool", np.zeros((3, 11), bool)),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    tmp_path: Path, name: str, value: np.ndarray
) -> None:
    path = tmp_path / "model.npz"
    save_models(path, denoise_image(NOISY, 20, options=TINY_AMPLITUDE, device="cpu").models)
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, name: value})
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_models(path, CPU)


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    models = denoise_image(NOISY, 20, options=TINY, device="cpu").models
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        save_models(tmp_path / "file" / "model.npz", models)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
