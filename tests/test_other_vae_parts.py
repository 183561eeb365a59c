"""Parts of the other VAEs: exact answers, by brute force or by torch's own distributions."""

from __future__ import annotations

import math

import pytest
import torch

from denoise.methods.vaes.codebooks import nearest_codes, straight_through
from denoise.methods.vaes.gumbel_vae import binary_concrete
from denoise.methods.vaes.nash_vae import NashOptions, NashVAE
from denoise.methods.vaes.networks import bernoulli_divergence, perplexity
from denoise.methods.vaes.vq_vae import VQVAE, VQOptions


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nearest_codes_by_brute_force() -> None:
    vectors = torch.randn(50, 3, 4, generator=seeded(1))
    books = torch.randn(3, 7, 4, generator=seeded(2))
    for slot in range(3):
        expected = torch.cdist(vectors[:, slot], books[slot]).argmin(1)
        assert nearest_codes(vectors, books)[:, slot].equal(expected)


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other() -> None:
    vectors = torch.randn(5, 2, generator=seeded(1)).requires_grad_()
    codes = torch.randn(5, 2, generator=seeded(2)).requires_grad_()
    weights = torch.randn(5, 2, generator=seeded(3))
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


def test_perplexity_lies_between_one_and_all() -> None:
    assert float(perplexity(torch.tensor([1.0, 0.0]))) == 1
    assert float(perplexity(torch.full((7,), 1 / 7))) == pytest.approx(7)


def test_the_players_share_no_gradient() -> None:
    model = NashVAE(6, NashOptions(latents=4, hidden=(5,)), seeded())
    model.decoder_loss(torch.randn(20, 6, generator=seeded(1)), seeded(2)).backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in [*model.decoder.parameters(), model.prior_logits])
    model.zero_grad()
    model.encoder_loss(torch.randn(20, 6, generator=seeded(1)), seeded(2)).backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert all(p.grad is None for p in [*model.decoder.parameters(), model.prior_logits])


def test_an_implicit_prior_is_known_by_its_samples() -> None:
    """Signs of projections: half are on, and two agree by the angle between their projections."""
    model = NashVAE(6, NashOptions(latents=8, implicit_prior=True), seeded())
    bits = model.draw_latents(20_000, seeded(1))
    torch.testing.assert_close(bits.mean(0), torch.full((8,), 0.5), atol=0.02, rtol=0)
    directions = torch.nn.functional.normalize(model.projections, dim=0)
    angles = (directions.T @ directions).clamp(-1, 1).acos()
    agree = (bits[:, :, None] == bits[:, None]).float().mean(0)
    torch.testing.assert_close(agree, 1 - angles / math.pi, atol=0.02, rtol=0)


def test_the_encoder_learns_from_the_prior_s_draws() -> None:
    """An encoder that says that all bits are on, and a prior that has none or half of them on."""
    for implicit, wrong in ((False, 4.0), (True, 2.0)):
        options = NashOptions(latents=4, hidden=(5,), implicit_prior=implicit)
        model = NashVAE(6, options, seeded())
        last = model.encoder.layers[-1]
        torch.nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        torch.nn.init.constant_(last.bias, 12.0)  # type: ignore[arg-type]
        model.prior_logits.data.fill_(-12.0)
        patches = torch.randn(2000, 6, generator=seeded(1))
        loss = model.encoder_loss(patches, seeded(2)).detach()
        assert float(loss) == pytest.approx(12 * wrong, rel=0.1)


def test_binary_bound_by_enumeration() -> None:
    """-ELBO is never below -log p(x), summed over all states of three bits."""
    model = NashVAE(
        5, NashOptions(latents=3, hidden=(4,), prior_prob=0.3, posterior=None), seeded()
    )
    patches = torch.randn(4000, 5, generator=seeded(1))
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    with torch.no_grad():
        squares = torch.cdist(patches, model.decoder(states)).square()
    log_prior = (states * 0.3 + (1 - states) * 0.7).log().sum(1)
    evidence = (log_prior - squares / 2).logsumexp(1).mean()
    bound = -model.diagnostics(patches, generator=seeded(2))["-ELBO"]
    assert evidence - 3 < bound < evidence
