"""VAE with Gaussian-mixture latents: exact answers for linear decoders, integrals for others."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from denoise.methods.vaes import mixture_refit
from denoise.methods.vaes.gm_wae import MixtureOptions, MixtureVAE
from denoise.methods.vaes.interface import PosteriorOptions, VAETraining
from denoise.methods.vaes.mixture_decoder import LinearPlusMLP
from denoise.methods.vaes.mixture_posterior import (
    LinearisedMixture,
    MixturePosterior,
    MixturePrior,
    find_posterior,
)
from denoise.methods.vaes.training import fit

OBJECTIVES = pytest.mark.parametrize("objective", ["transport", "elbo"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_prior(components: int, latents: int, seed: int = 3) -> MixturePrior:
    generator = seeded(seed)
    return MixturePrior(
        torch.randn(components, generator=generator).log_softmax(0),
        2 * torch.randn(components, latents, generator=generator),
        torch.randn(components, latents, latents, generator=generator),
    )


def bent_decoder(latents: int, values: int, seed: int = 5, *, bend: float = 0.7) -> LinearPlusMLP:
    """A decoder with kinks where patches are, sharper the larger `bend`."""
    decoder = LinearPlusMLP(latents, (6,), values, seeded(seed))
    assert decoder.mlp is not None
    with torch.no_grad():
        for parameter in decoder.mlp.parameters():
            parameter.copy_(bend * torch.randn(parameter.shape, generator=seeded(seed + 1)))
    return decoder


def posterior(
    decoder: LinearPlusMLP, prior: MixturePrior, patches: Tensor, **options: Any
) -> MixturePosterior:
    with torch.no_grad():
        analysers = LinearisedMixture.of(decoder, prior)
        return find_posterior(decoder, prior, analysers, patches, **options)


def drawn(decoder: LinearPlusMLP, prior: MixturePrior, count: int, seed: int = 8) -> Tensor:
    """Noisy patches from the model."""
    generator = seeded(seed)
    components = torch.multinomial(prior.log_weights.exp(), count, True, generator=generator)
    whitened = torch.randn(count, prior.means.shape[1], generator=generator)
    with torch.no_grad():
        clean: Tensor = decoder(prior.latents(whitened, components))
    return clean + torch.randn(clean.shape, generator=generator)


def dense(decoder: LinearPlusMLP, prior: MixturePrior, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean and log p(x) of factor analysers, from their covariances in full."""
    weights = decoder.linear.weight.detach()
    offsets = decoder(prior.means).detach()
    loadings = weights @ prior.factors
    signal = loadings @ loadings.mT
    covariances = signal + torch.eye(len(weights))
    log_joint = prior.log_weights + MultivariateNormal(offsets, covariances).log_prob(
        patches[:, None]
    )
    gains = torch.linalg.solve(covariances, signal)
    means = offsets + torch.einsum("nkd,kde->nke", patches[:, None] - offsets, gains)
    constant = 0.5 * patches.shape[1] * math.log(2 * math.pi)
    mean = (log_joint.softmax(1)[..., None] * means).sum(1)
    return mean, log_joint.logsumexp(1) + constant


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_jacobian_by_autograd(hidden: tuple[int, ...]) -> None:
    decoder = LinearPlusMLP(3, hidden, 4, seeded())
    latents = torch.randn(6, 3, generator=seeded(1))
    means, jacobians = decoder.with_jacobian(latents)
    torch.testing.assert_close(means, decoder(latents))
    for latent, jacobian in zip(latents, jacobians, strict=True):
        expected: Any = torch.autograd.functional.jacobian(decoder, latent)
        torch.testing.assert_close(jacobian.T, expected)


@pytest.mark.parametrize("steps", [0, 2])
def test_a_linear_decoder_makes_factor_analysers(steps: int) -> None:
    decoder, prior = LinearPlusMLP(2, (), 5, seeded()), random_prior(4, 2)
    patches = drawn(decoder, prior, 30)
    found = posterior(decoder, prior, patches, components=4, steps=steps)
    mean, log_evidence = dense(decoder, prior, patches)
    torch.testing.assert_close(found.mean(), mean, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(found.log_evidence(), log_evidence, atol=2e-4, rtol=1e-4)


def test_what_is_truncated_is_unlikely() -> None:
    """Fewer components give a lower bound, made of the likeliest ones."""
    decoder, prior = LinearPlusMLP(2, (), 5, seeded()), random_prior(6, 2)
    patches = drawn(decoder, prior, 50)
    _, exact = dense(decoder, prior, patches)
    bounds = [
        posterior(decoder, prior, patches, components=kept, steps=0).log_evidence()
        for kept in (1, 3, 6)
    ]
    assert (bounds[0] <= bounds[1] + 1e-5).all() and (bounds[1] <= exact + 1e-4).all()
    assert (exact - bounds[0]).max() < math.log(6)
    torch.testing.assert_close(bounds[2], exact, atol=2e-4, rtol=1e-4)


def test_steps_approach_the_integral_over_all_latents() -> None:
    """Two latents, three components, a bent decoder: against sums over a grid of 161 x 161."""
    decoder, prior = bent_decoder(2, 6), random_prior(3, 2)
    patches = drawn(decoder, prior, 40)
    line = torch.linspace(-6, 6, 161)
    grid = torch.cartesian_prod(line, line)
    log_joint, means = [], []
    with torch.no_grad():
        for component in range(3):
            outputs = decoder(prior.latents(grid, torch.full((len(grid),), component)))
            log_prior = Normal(0.0, 1.0).log_prob(grid).sum(1) + 2 * math.log(12 / 160)
            log_joint.append(
                prior.log_weights[component] + log_prior - 0.5 * torch.cdist(patches, outputs) ** 2
            )
            means.append(outputs)
    joint = torch.cat(log_joint, 1)
    exact, mean = joint.logsumexp(1), joint.softmax(1) @ torch.cat(means)

    def errors(steps: int) -> tuple[float, float]:
        found = posterior(decoder, prior, patches, components=3, steps=steps)
        return (
            float((found.mean() - mean).square().sum(1).mean()),
            float((found.log_evidence() - exact).abs().mean()),
        )

    (rough, rough_evidence), (close, close_evidence) = errors(0), errors(8)
    assert close < 0.5 * rough
    assert close_evidence < 0.5 * rough_evidence and close_evidence < 0.2


def test_no_step_makes_a_mode_less_likely() -> None:
    decoder, prior = bent_decoder(3, 6), random_prior(4, 3)
    patches = drawn(decoder, prior, 60)

    def energies(steps: int) -> Tensor:
        found = posterior(decoder, prior, patches, components=4, steps=steps)
        order = found.components.argsort(1)
        squares = (patches[:, None] - found.means).square().sum(2)
        return (squares + found.whitened.square().sum(2)).gather(1, order)

    first, second, third = energies(0), energies(1), energies(4)
    assert (second <= first + 1e-3).all() and (third <= second + 1e-3).all()
    assert third.mean() < 0.9 * first.mean()


def test_good_proposals_are_taken() -> None:
    """From the clean latents, one step is nearer to the modes than one from the prior's means."""
    decoder, prior = bent_decoder(3, 8, bend=1.5), random_prior(1, 3)
    whitened = torch.randn(50, 3, generator=seeded(1))
    latents = prior.latents(whitened, torch.zeros(50, dtype=torch.int64))
    with torch.no_grad():
        patches = decoder(latents) + torch.randn(50, 8, generator=seeded(2))

    def error(proposals: Tensor | None) -> float:
        found = posterior(decoder, prior, patches, proposals=proposals, components=1, steps=1)
        squares = (patches - found.means[:, 0]).square().sum(1)
        return float((squares + found.whitened[:, 0].square().sum(1)).mean())

    assert error(latents[:, None]) < error(None)


def test_estimated_evidence_is_above_the_bound_of_the_encoder() -> None:
    options = MixtureOptions(
        objective="elbo",
        components=4,
        kept=4,
        latents=2,
        hidden=(16,),
        decoder_hidden=(6,),
        training=VAETraining(epochs=6, batch_size=64, learning_rate=2e-2),
        posterior=None,
    )
    patches = drawn(bent_decoder(2, 6), random_prior(3, 2), 600)
    model = options.build(6, seeded())
    stats = fit(model, patches, options.training, generator=seeded(1))
    assert isinstance(model, MixtureVAE)
    found = model.find_posterior(patches, PosteriorOptions())
    assert -found.log_evidence().mean() < stats.losses[-1]


def test_refit_finds_the_likelihood_of_the_truth() -> None:
    decoder, truth = LinearPlusMLP(3, (), 6, seeded()), random_prior(2, 3)
    patches = drawn(decoder, truth, 4000)
    start = MixturePrior(
        torch.full((2,), math.log(0.5)),
        torch.randn(2, 3, generator=seeded(1)),
        3 * torch.eye(3).expand(2, 3, 3),
    )
    fitted = mixture_refit.refit(decoder, start, patches, rounds=20, generator=seeded())
    held_out = drawn(decoder, truth, 4000, seed=9)
    before, after, best = (
        dense(decoder, prior, held_out)[1].mean() for prior in (start, fitted, truth)
    )
    assert best - 0.03 < after < best + 0.03
    assert before < best - 0.5


def test_no_round_of_em_lowers_the_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a threshold for the noise and without new starts."""
    for name in ("NOISE_EDGE", "RARE", "SMALLEST_WEIGHT"):
        monkeypatch.setattr(mixture_refit, name, 0.0)
    decoder = LinearPlusMLP(3, (), 6, seeded())
    patches = drawn(decoder, random_prior(4, 3), 500)
    prior, found = random_prior(5, 3, seed=7), []
    for _ in range(8):
        found.append(float(dense(decoder, prior, patches)[1].mean()))
        prior = mixture_refit.refit(decoder, prior, patches, rounds=1, generator=seeded())
    assert all(after > before - 1e-4 for before, after in pairwise(found))
    assert found[-1] > found[0] + 0.5


def test_forgotten_components_start_again() -> None:
    decoder, truth = LinearPlusMLP(2, (), 6, seeded()), random_prior(3, 2)
    patches = drawn(decoder, truth, 1500)
    far = replace(truth, means=truth.means + torch.tensor([[0.0], [0.0], [1e3]]))
    fitted = mixture_refit.refit(decoder, far, patches, rounds=12, generator=seeded())
    assert fitted.log_weights.exp().min() > 0.05


def test_samples_of_the_prior() -> None:
    """Frequencies of components, and the moments of each one's patches."""
    options = MixtureOptions(components=3, latents=2, hidden=(4,))
    model = options.build(5, seeded())
    assert isinstance(model, MixtureVAE)
    model.prior = random_prior(3, 2)
    samples = model.sample(20_000, generator=seeded(1))
    assert samples.groups is not None
    shares = torch.bincount(samples.groups, minlength=3) / 20_000
    torch.testing.assert_close(shares, model.prior.log_weights.exp(), atol=0.015, rtol=0)
    loadings = (model.decoder.linear.weight @ model.prior.factors).detach()
    offsets = model.decoder(model.prior.means).detach()
    for component in range(3):
        patches = samples.patches[samples.groups == component]
        covariance = loadings[component] @ loadings[component].T
        scale = float(covariance.diagonal().max())
        torch.testing.assert_close(
            patches.mean(0), offsets[component], atol=0.06 * scale**0.5, rtol=0
        )
        torch.testing.assert_close(patches.T.cov(), covariance, atol=0.1 * scale, rtol=0)


@OBJECTIVES
def test_the_posterior_beats_the_encoder(objective: str) -> None:
    options = MixtureOptions(
        objective=objective,  # type: ignore[arg-type]
        components=4,
        latents=3,
        hidden=(16,),
        training=VAETraining(epochs=5, batch_size=64, learning_rate=1e-2),
    )
    prior, whitened = random_prior(3, 2), torch.randn(800, 2, generator=seeded(3))
    with torch.no_grad():
        clean = LinearPlusMLP(2, (), 8, seeded())(prior.latents(whitened, torch.arange(800) % 3))
    patches = clean + torch.randn(800, 8, generator=seeded(2))
    model = options.build(8, seeded())
    fit(model, patches, options.training, generator=seeded(1))
    assert options.posterior is not None
    rebuilt = (
        model.posterior_mean(patches, options.posterior, generator=seeded(4)),
        model.encoder_mean(patches, generator=seeded(4)),
    )
    errors = [(one - clean).square().mean() for one in rebuilt]
    assert errors[0] < 0.9 * errors[1] and errors[0] < 0.7
