"""Other VAEs: what each must learn from data of known structure, on patches and on images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import step_image
from torch import Tensor

from denoise.errors import DenoiseError, ImageError, OptionError, TrainingError
from denoise.methods.image_patches import mean_free_basis
from denoise.methods.table import METHODS
from denoise.methods.vaes.gm_wae import MixtureOptions
from denoise.methods.vaes.gumbel_vae import GumbelOptions
from denoise.methods.vaes.interface import VAEOptions, VAETraining
from denoise.methods.vaes.nash_vae import NashOptions
from denoise.methods.vaes.other_vaes import (
    DEFAULTS,
    denoise_with_other_vae,
    other_vae_options,
)
from denoise.methods.vaes.training import fit
from denoise.methods.vaes.vq_vae import VQOptions
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.pipeline.run import Run
from denoise.presets import Overrides

SHORT = VAETraining(epochs=12, batch_size=128, learning_rate=5e-3)
TINY: dict[str, VAEOptions] = {
    "vq-vae loss": VQOptions(slots=3, codes=8, hidden=(32,), codebook="loss", training=SHORT),
    "vq-vae": VQOptions(slots=3, codes=8, hidden=(32,), training=SHORT),
    "gumbel-vae": GumbelOptions(latents=12, expected_active=4, hidden=(32,), training=SHORT),
    "gm-wae": MixtureOptions(
        components=4, latents=3, hidden=(32,), decoder_hidden=(32,), penalty=20, training=SHORT
    ),
    "gm-vae": MixtureOptions(
        objective="elbo", components=4, latents=4, hidden=(32,), training=SHORT
    ),
    "nash-vae": NashOptions(latents=8, hidden=(32,), training=SHORT),
}
EVERY_VAE = pytest.mark.parametrize("options", TINY.values(), ids=TINY.keys())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bits_times_vectors(count: int, seed: int) -> Tensor:
    """Clean data: three fair bits times orthogonal vectors of length 8, in 16 values."""
    bits = torch.randint(2, (count, 3), generator=seeded(seed)).float()
    vectors = torch.linalg.qr(torch.randn(16, 3, generator=seeded(99))).Q.T * 8
    return (bits - 0.5) @ vectors


@EVERY_VAE
def test_learns_three_bits(options: VAEOptions) -> None:
    """Held-out clean data are met within half of the noise, whose squared length is 16."""
    clean = bits_times_vectors(3000, seed=1)
    noisy = clean + torch.randn(clean.shape, generator=seeded(2))
    generator = seeded()
    model = options.build(16, generator)
    stats = fit(model, noisy[:2500], options.training, generator=generator)
    rebuilt = model.reconstruct(noisy[2500:], generator=generator)
    error = (rebuilt - clean[2500:]).square().sum(1).mean()
    assert error < 8
    assert len(stats.losses) == options.training.epochs
    assert all(np.isfinite(value) for value in stats.diagnostics.values())


@EVERY_VAE
def test_the_seed_decides(options: VAEOptions) -> None:
    noisy = add_gaussian_noise(step_image(16, 16), 20, generator=np.random.default_rng(0))
    brief = replace(options, training=replace(options.training, epochs=2))
    first, again, other = (
        denoise_with_other_vae(noisy, 20, brief, Run(seed=seed), patch_size=4).image
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


@EVERY_VAE
def test_denoises_a_step(options: VAEOptions) -> None:
    clean = step_image(32, 32)
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    result = denoise_with_other_vae(noisy, 20, options, patch_size=4)
    assert psnr(clean, result.image) > psnr(clean, noisy) + 2
    assert result.image.shape == noisy.shape and result.options == options


def test_brightness_passes_by_the_model() -> None:
    """A constant added to the image is added to the result, whatever the model."""
    noisy = add_gaussian_noise(step_image(), 20, generator=np.random.default_rng(0))
    first, second = (
        denoise_with_other_vae(image, 20, TINY["vq-vae"], patch_size=4).image
        for image in (noisy, noisy + 1000)
    )
    assert np.abs(second - 1000 - first).mean() < 0.5


def test_colour_keeps_its_shape() -> None:
    noisy = np.stack([step_image(), 255 - step_image(), step_image()], axis=-1)
    options = VQOptions(slots=2, codes=4, hidden=(8,), training=VAETraining(epochs=1))
    result = denoise_with_other_vae(noisy, 20, options, patch_size=3)
    assert result.image.shape == noisy.shape and result.image.dtype == np.float32


def test_basis_spans_what_has_no_mean() -> None:
    basis = mean_free_basis(12)
    torch.testing.assert_close(basis.T @ basis, torch.eye(11))
    torch.testing.assert_close(basis @ basis.T, torch.eye(12) - 1 / 12)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: VQOptions(codes=1),
        lambda: VQOptions(codebook="kmeans"),  # type: ignore[arg-type]
        lambda: VQOptions(decay=1.0),
        lambda: VQOptions(hidden=(0,)),
        lambda: GumbelOptions(temperature=(0.1, 1.0)),
        lambda: GumbelOptions(latents=4, expected_active=4),
        lambda: GumbelOptions(warm_up=1.5),
        lambda: MixtureOptions(objective="wasserstein"),  # type: ignore[arg-type]
        lambda: MixtureOptions(components=0),
        lambda: NashOptions(prior_prob=1.0),
        lambda: VAETraining(learning_rate=float("nan")),
        lambda: other_vae_options("wake-sleep", Overrides()),
        lambda: other_vae_options("vq-vae", Overrides(epochs=0)),
    ],
)
def test_wrong_settings_are_refused(wrong: object) -> None:
    with pytest.raises(OptionError):
        wrong()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("image", "sigma", "patch_size", "error"),
    [
        (np.zeros(5), 20, 4, ImageError),
        (np.full((9, 9), np.nan), 20, 4, ImageError),
        (np.zeros((3, 9)), 20, 4, ImageError),
        (np.zeros((9, 9)), 0, 4, OptionError),
        (np.zeros((9, 9)), 20, 1, OptionError),
    ],
)
def test_wrong_images_are_refused(
    image: np.ndarray, sigma: float, patch_size: int, error: type[DenoiseError]
) -> None:
    with pytest.raises(error):
        denoise_with_other_vae(image, sigma, TINY["vq-vae"], patch_size=patch_size)


def test_the_table_has_all_of_them() -> None:
    assert [name for name, method in METHODS.items() if method.kind == "vae"] == [
        *DEFAULTS,
        "v-mfa",
    ]


def test_a_loss_without_bounds_is_told() -> None:
    patches = torch.full((10, 6), torch.inf)
    model = TINY["gumbel-vae"].build(6, seeded())
    with pytest.raises(TrainingError, match="epoch 1"):
        fit(model, patches, SHORT, generator=seeded())
