"""Peers: exact answers of their parts, and what each must learn from data of known structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noisy_file, step_image
from torch import Tensor
from typer import Typer
from typer.testing import CliRunner, Result

from denoise.errors import DenoiseError, ImageError, OptionError, TrainingError
from denoise.metrics import psnr
from denoise.noise import add_gaussian_noise
from denoise.peers import (
    GumbelOptions,
    MixtureOptions,
    NashOptions,
    PeerOptions,
    PeerTraining,
    VQOptions,
    denoise_with_peer,
    peer_options,
)
from denoise.peers.benchmark import main
from denoise.peers.gm_wae import MixtureVAE, mmd
from denoise.peers.gumbel_vae import binary_concrete
from denoise.peers.nash_vae import NashVAE
from denoise.peers.networks import bernoulli_divergence, perplexity
from denoise.peers.pipeline import make_peer, mean_free_basis
from denoise.peers.training import fit
from denoise.peers.vq_vae import VQVAE, nearest_codes, straight_through

SHORT = PeerTraining(epochs=12, batch_size=128, learning_rate=5e-3)
TINY: dict[str, PeerOptions] = {
    "vq-vae": VQOptions(slots=3, codes=8, hidden=(32,), training=SHORT),
    "vq-vae ema": VQOptions(slots=3, codes=8, hidden=(32,), codebook="ema", training=SHORT),
    "gumbel-vae": GumbelOptions(latents=12, expected_active=4, hidden=(32,), training=SHORT),
    "gm-wae": MixtureOptions(components=4, latents=4, hidden=(32,), training=SHORT),
    "gm-vae": MixtureOptions("elbo", components=4, latents=4, hidden=(32,), training=SHORT),
    "nash-vae": NashOptions(latents=8, hidden=(32,), training=SHORT),
}
EVERY_PEER = pytest.mark.parametrize("options", TINY.values(), ids=TINY.keys())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bits_times_vectors(count: int, seed: int) -> Tensor:
    """Clean data: three fair bits times orthogonal vectors of length 8, in 16 values."""
    bits = torch.randint(2, (count, 3), generator=seeded(seed)).float()
    vectors = torch.linalg.qr(torch.randn(16, 3, generator=seeded(99))).Q.T * 8
    return (bits - 0.5) @ vectors


@EVERY_PEER
def test_learns_three_bits(options: PeerOptions) -> None:
    """Held-out clean data are met far below the noise, which has the squared length 16."""
    clean = bits_times_vectors(5000, seed=1)
    noisy = clean + torch.randn(clean.shape, generator=seeded(2))
    generator = seeded()
    model = make_peer(16, options, generator)
    stats = fit(model, noisy[:4000], options.training, generator=generator)
    rebuilt = model.reconstruct(noisy[4000:], generator=generator)
    error = (rebuilt - clean[4000:]).square().sum(1).mean()
    assert error < 5
    assert len(stats.losses) == options.training.epochs
    assert all(np.isfinite(value) for value in stats.diagnostics.values())


@EVERY_PEER
def test_the_seed_decides(options: PeerOptions) -> None:
    noisy = add_gaussian_noise(step_image(), 20, generator=np.random.default_rng(0))
    first, again, other = (
        denoise_with_peer(noisy, 20, options, patch_size=4, seed=seed, device="cpu").image
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


@EVERY_PEER
def test_denoises_a_step(options: PeerOptions) -> None:
    clean = step_image(32, 32)
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    result = denoise_with_peer(noisy, 20, options, patch_size=4, device="cpu")
    assert psnr(clean, result.image) > psnr(clean, noisy) + 2
    assert result.image.shape == noisy.shape and result.options == options


def test_brightness_passes_by_the_model() -> None:
    """A constant added to the image is added to the result, whatever the model."""
    noisy = add_gaussian_noise(step_image(), 20, generator=np.random.default_rng(0))
    first, second = (
        denoise_with_peer(image, 20, TINY["vq-vae"], patch_size=4, device="cpu").image
        for image in (noisy, noisy + 1000)
    )
    assert np.abs(second - 1000 - first).mean() < 0.5


def test_colour_keeps_its_shape() -> None:
    noisy = np.stack([step_image(), 255 - step_image(), step_image()], axis=-1)
    options = VQOptions(slots=2, codes=4, hidden=(8,), training=PeerTraining(epochs=1))
    result = denoise_with_peer(noisy, 20, options, patch_size=3, device="cpu")
    assert result.image.shape == noisy.shape and result.image.dtype == np.float32


def test_basis_spans_what_has_no_mean() -> None:
    basis = mean_free_basis(12)
    torch.testing.assert_close(basis.T @ basis, torch.eye(11))
    torch.testing.assert_close(basis @ basis.T, torch.eye(12) - 1 / 12)


def test_nearest_codes_by_brute_force() -> None:
    vectors = torch.randn(50, 3, 4, generator=seeded(1))
    books = torch.randn(3, 7, 4, generator=seeded(2))
    for slot in range(3):
        expected = torch.cdist(vectors[:, slot], books[slot]).argmin(1)
        assert nearest_codes(vectors, books)[:, slot].equal(expected)


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other() -> None:
    vectors = torch.randn(5, 2, requires_grad=True)
    codes = torch.randn(5, 2, requires_grad=True)
    weights = torch.randn(5, 2)
    quantised = straight_through(vectors, codes)
    torch.testing.assert_close(quantised, codes)
    (quantised * weights).sum().backward()
    assert vectors.grad is not None
    torch.testing.assert_close(vectors.grad, weights)
    assert codes.grad is None


def test_reconstruction_reaches_the_encoder() -> None:
    """With next to no commitment, all of the encoder's gradient has come through the codes."""
    model = VQVAE(6, VQOptions(slots=2, codes=4, hidden=(5,), commitment=1e-12), seeded())
    model.loss(
        torch.randn(30, 6, generator=seeded(1)), progress=0.0, generator=seeded(2)
    ).backward()
    assert all(p.grad is not None and p.grad.norm() > 1e-3 for p in model.encoder.parameters())


def test_moving_means_arrive_at_the_means() -> None:
    """The EMA codebook of a frozen encoder ends as the mean of what picks each code."""
    options = VQOptions(slots=1, codes=2, code_size=1, hidden=(), codebook="ema", decay=0.5)
    model = VQVAE(1, options, seeded())
    torch.nn.init.ones_(model.encoder.layers[0].weight)
    patches = torch.tensor([[-3.0], [-1.0], [5.0], [6.0], [7.0]])
    for _ in range(60):
        model.loss(patches, progress=0.0, generator=seeded(1))
    torch.testing.assert_close(model.codebooks.flatten().sort().values, torch.tensor([-2.0, 6.0]))


def test_dead_codes_restart_from_the_encoder() -> None:
    model = VQVAE(4, VQOptions(slots=2, codes=4, hidden=()), seeded())
    patches = torch.randn(200, 4, generator=seeded(1))
    model.loss(patches, progress=0.0, generator=seeded(2))
    model.codebooks.data[:, 0] = 1e6
    model.usage[:, 0] = 0
    for _ in range(50):
        model.loss(patches, progress=0.0, generator=seeded(2))
    assert model.codebooks.abs().max() < 100


def test_cold_concrete_draws_are_bernoulli() -> None:
    logits = torch.tensor([-2.0, 0.0, 1.5])
    draws = binary_concrete(logits.expand(20_000, 3), 1e-6, seeded())
    assert ((draws < 1e-3) | (draws > 1 - 1e-3)).float().mean() > 0.999
    torch.testing.assert_close(draws.mean(0), logits.sigmoid(), atol=0.015, rtol=0)


def test_warm_concrete_draws_cross_a_half_as_often() -> None:
    logits = torch.tensor([-2.0, 0.0, 1.5])
    draws = binary_concrete(logits.expand(20_000, 3), 2.0, seeded())
    torch.testing.assert_close((draws > 0.5).float().mean(0), logits.sigmoid(), atol=0.015, rtol=0)


def test_divergence_of_bits_by_the_library() -> None:
    logits, prior = torch.randn(6, 5, generator=seeded(1)), torch.randn(5, generator=seeded(2))
    bernoulli = torch.distributions.Bernoulli
    expected = torch.distributions.kl_divergence(
        bernoulli(logits=logits), bernoulli(logits=prior.expand(6, 5))
    )
    torch.testing.assert_close(bernoulli_divergence(logits, prior), expected.sum(1))


def test_mmd() -> None:
    sample = torch.randn(60, 3, generator=seeded(1), dtype=torch.float64)
    other = torch.randn(60, 3, generator=seeded(2), dtype=torch.float64)
    assert abs(float(mmd(sample, sample))) < 1e-12
    assert mmd(sample, other + 1) > 5 * mmd(sample, other) > 0
    torch.testing.assert_close(mmd(sample, other), mmd(other, sample))
    twice = torch.cat([sample, other])
    weights = torch.cat([torch.full((60,), 1 / 60), torch.zeros(60)]).double()
    torch.testing.assert_close(mmd(twice, other, weights), mmd(sample, other))


def test_mixture_divergence_by_the_library() -> None:
    """KL over (k, z) is that of k plus the mean of those of z given k."""
    model = MixtureVAE(6, MixtureOptions(components=3, latents=2, hidden=(5,)), seeded())
    log_weights, means, log_scales = model.encode(torch.randn(4, 6, generator=seeded(1)))
    normal = torch.distributions.Normal
    given = torch.distributions.kl_divergence(
        normal(means, log_scales.exp()), normal(model.prior_means, model.prior_log_scales.exp())
    ).sum(-1)
    of_k = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=log_weights),
        torch.distributions.Categorical(probs=torch.full((3,), 1 / 3)),
    )
    expected = of_k + (log_weights.exp() * given).sum(1)
    torch.testing.assert_close(model._divergence(log_weights, means, log_scales), expected)


@pytest.mark.parametrize("objective", ["transport", "elbo"])
def test_components_used_lie_between_one_and_all(objective: str) -> None:
    model = MixtureVAE(6, MixtureOptions(objective, components=3, latents=2), seeded())  # type: ignore[arg-type]
    used = model.diagnostics(torch.randn(50, 6, generator=seeded(1)))["components used"]
    assert 1 <= used <= 3 + 1e-5
    assert float(perplexity(torch.tensor([1.0, 0.0]))) == 1
    assert float(perplexity(torch.full((7,), 1 / 7))) == pytest.approx(7)


def test_the_players_share_no_gradient() -> None:
    model = NashVAE(6, NashOptions(latents=4, hidden=(5,)), seeded())
    model.decoder_loss(torch.randn(20, 6, generator=seeded(1)), seeded(2)).backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in [*model.decoder.parameters(), model.prior_logits])
    model.zero_grad()
    model.encoder_loss(20, seeded(2)).backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert all(p.grad is None for p in [*model.decoder.parameters(), model.prior_logits])


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
        lambda: MixtureOptions("wasserstein"),  # type: ignore[arg-type]
        lambda: MixtureOptions(components=0),
        lambda: NashOptions(prior_prob=1.0),
        lambda: PeerTraining(learning_rate=float("nan")),
        lambda: peer_options("wake-sleep"),
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
        denoise_with_peer(image, sigma, TINY["vq-vae"], patch_size=patch_size, device="cpu")


def test_a_loss_without_bounds_is_told() -> None:
    patches = torch.full((10, 6), torch.inf)
    model = make_peer(6, TINY["gumbel-vae"], seeded())
    with pytest.raises(TrainingError, match="epoch 1"):
        fit(model, patches, SHORT, generator=seeded())


def run_benchmark(*arguments: str) -> Result:
    app = Typer()
    app.command()(main)
    return CliRunner().invoke(app, [*arguments, "--device", "cpu"])


def test_command_prints_a_row_per_method_and_image(tmp_path: Path) -> None:
    clean = tmp_path / "clean.png"
    noisy_file(tmp_path / "noisy.png", clean=clean)
    result = run_benchmark(str(clean), "--methods", "vq-vae,nash-vae", "--epochs", "1")
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| method", "| vq-vae", "| nash-vae"]


def test_command_names_an_unknown_method(tmp_path: Path) -> None:
    clean = tmp_path / "clean.png"
    noisy_file(tmp_path / "noisy.png", clean=clean)
    result = run_benchmark(str(clean), "--methods", "magic")
    assert result.exit_code == 1
    assert "magic" in result.stderr
