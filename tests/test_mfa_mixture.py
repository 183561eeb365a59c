"""The mixture behind v-MFA: densities, search and learning, by dense Gaussians and brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from denoise.methods.mfa.component_search import (
    Trials,
    TruncatedPosteriors,
    nearest_means,
    try_components,
)
from denoise.methods.mfa.factor_analysers import FactorAnalysers
from denoise.methods.mfa.mfa_model import MFAModel, MFAOptions, learn_mfa
from denoise.methods.mfa.mixture_learning import (
    collect,
    learned,
    loadings_divergence,
    prior_precisions,
    with_principal_directions,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_mixture(
    components: int = 4, values: int = 6, factors: int = 2, noise_variance: float = 0.7
) -> FactorAnalysers:
    generator = seeded(1)
    weights = torch.rand(components, generator=generator, dtype=torch.float64) + 0.2
    return FactorAnalysers(
        log_weights=(weights / weights.sum()).log(),
        means=2 * torch.randn(components, values, generator=generator, dtype=torch.float64),
        loadings=torch.randn(components, values, factors, generator=generator, dtype=torch.float64),
        spread=torch.zeros(components, factors, factors, dtype=torch.float64),
        noise_variance=noise_variance,
    )


def draws(mixture: FactorAnalysers, count: int, seed: int = 2) -> Tensor:
    """Noisy draws: (count, D)."""
    clean, _ = mixture.sample(count, seeded(seed))
    noise = torch.randn(clean.shape, generator=seeded(seed + 1), dtype=clean.dtype)
    return clean + mixture.noise_variance**0.5 * noise


def covariances(mixture: FactorAnalysers) -> Tensor:
    """Dense covariances of the noisy patches of each component: (K, D, D)."""
    noise = mixture.noise_variance * torch.eye(mixture.means.shape[1], dtype=torch.float64)
    return mixture.loadings @ mixture.loadings.mT + noise


def dense_log_joints(mixture: FactorAnalysers, patches: Tensor) -> Tensor:
    """log p(x, c) from dense Gaussians: (N, K)."""
    gaussians = MultivariateNormal(mixture.means, covariances(mixture))
    log_joints: Tensor = gaussians.log_prob(patches[:, None]) + mixture.log_weights
    return log_joints


def exact_posteriors(mixture: FactorAnalysers, patches: Tensor) -> TruncatedPosteriors:
    everyone = torch.arange(len(mixture)).expand(len(patches), -1)
    return TruncatedPosteriors(everyone, dense_log_joints(mixture, patches))


@pytest.mark.parametrize("near", [0, 3])
def test_log_joints_are_those_of_dense_gaussians(near: int) -> None:
    mixture = make_mixture()
    patches = draws(mixture, 20)
    others = torch.tensor([3, 0, 2])
    found = mixture.log_joints(patches, near, others)
    torch.testing.assert_close(found, dense_log_joints(mixture, patches)[:, others])


def test_clean_means_are_those_of_dense_gaussians() -> None:
    mixture = make_mixture()
    patches = draws(mixture, 20)
    signal = mixture.loadings[1] @ mixture.loadings[1].T
    gain = signal @ torch.linalg.inv(covariances(mixture)[1])
    expected = mixture.means[1] + (patches - mixture.means[1]) @ gain.T
    torch.testing.assert_close(mixture.clean_means(patches, 1), expected)


def test_all_components_kept_give_the_exact_posterior() -> None:
    mixture = make_mixture()
    patches = draws(mixture, 30)
    everyone = torch.arange(4).expand(4, -1)
    model = MFAModel(mixture, everyone, kept=4, bounds=(0.0,))
    found = model.posteriors(patches)
    exact = dense_log_joints(mixture, patches)
    torch.testing.assert_close(found.bounds, exact.logsumexp(1))
    weights = exact.softmax(1)
    torch.testing.assert_close(found.probabilities, weights.gather(1, found.components))
    means = torch.stack([mixture.clean_means(patches, one) for one in range(4)], 1)
    expected = (weights[..., None] * means).sum(1)
    torch.testing.assert_close(model.posterior_mean(patches), expected)


def test_what_is_kept_is_the_best_of_what_was_tried() -> None:
    mixture = make_mixture(components=9)
    patches = draws(mixture, 40)
    kept = torch.randint(9, (40, 2), generator=seeded(5))
    neighbours = nearest_means(mixture.means, mixture.means, 3)
    trials = try_components(mixture, patches, kept, neighbours, random_tries=2, generator=seeded(6))
    dense = dense_log_joints(mixture, patches)
    best = trials.best(2)
    for row, (tried, found) in enumerate(zip(trials.components, best.components, strict=True)):
        candidates = tried.unique()
        assert set(neighbours[kept[row]].flatten().tolist()) <= set(candidates.tolist())
        order = dense[row, candidates].argsort(descending=True)[:2]
        assert found.tolist() == candidates[order].tolist()


def test_the_search_never_lowers_a_bound() -> None:
    mixture = make_mixture(components=30, factors=1)
    patches = draws(mixture, 200)
    components = torch.randperm(30, generator=seeded(3))[:2].expand(200, -1)
    neighbours = nearest_means(mixture.means, mixture.means, 4)
    bounds = dense_log_joints(mixture, patches).gather(1, components).logsumexp(1)
    first, exact = bounds.mean(), dense_log_joints(mixture, patches).logsumexp(1)
    generator = seeded(4)
    for _ in range(12):
        trials = try_components(
            mixture, patches, components, neighbours, random_tries=1, generator=generator
        )
        found, neighbours = trials.best(2), trials.neighbours(neighbours)
        assert (found.bounds >= bounds - 1e-9).all()
        assert (found.bounds <= exact + 1e-9).all()
        bounds, components = found.bounds, found.components
    assert exact.mean() - bounds.mean() < 0.05 * (exact.mean() - first)


def test_neighbours_are_the_components_of_the_least_mean_difference() -> None:
    log_joints = torch.tensor([[0.0, -1.0, -5.0], [-3.0, -1.0, 0.0], [0.0, -4.0, -2.0]])
    trials = Trials(torch.tensor([[0, 1, 2], [0, 1, 2], [0, 1, 2]]), log_joints)
    # Component 0 is the best one of two patches: distances 2.5 to 1 and 3.5 to 2; 1 of none.
    before = torch.tensor([[0, 2], [1, 0], [2, 0]])
    assert trials.neighbours(before).tolist() == [[0, 1], [1, 0], [2, 1]]


def test_a_posterior_of_the_loadings_bounds_the_density() -> None:
    """The integral over z of p(z) exp <log p(x | z, Lambda)>, on a grid, with one factor."""
    mixture = make_mixture(components=2, factors=1)
    mixture = replace(mixture, spread=torch.tensor([[[0.3]], [[2.0]]], dtype=torch.float64))
    patches = draws(mixture, 10)
    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    for component in range(2):
        means = mixture.means[component] + z[:, None] * mixture.loadings[component, :, 0]
        squares = (patches[:, None] - means).square().sum(-1)
        squares = squares + mixture.spread[component, 0, 0] * z.square()
        noise = mixture.noise_variance
        constant = 3 * np.log(2 * np.pi * noise) - mixture.log_weights[component]
        logs = -0.5 * (squares / noise + z.square() + np.log(2 * np.pi)) - constant
        expected = logs.logsumexp(1) + np.log(24 / 4000)
        found = mixture.log_joints(patches, 0, torch.tensor([component]))[:, 0]
        torch.testing.assert_close(found, expected)


def test_divergence_of_the_loadings_is_that_of_dense_gaussians() -> None:
    mixture = make_mixture(components=1)
    spread = torch.tensor([[[0.6, 0.1], [0.1, 0.3]]], dtype=torch.float64)
    mixture = replace(mixture, spread=spread)
    priors = MultivariateNormal(
        torch.zeros(2, dtype=torch.float64), torch.diag(1 / prior_precisions(mixture)[0])
    )
    rows = MultivariateNormal(mixture.loadings[0], spread[0] / 6)
    expected = torch.distributions.kl_divergence(rows, priors).sum()
    torch.testing.assert_close(loadings_divergence(mixture)[0], expected)


@pytest.mark.parametrize("learn_noise", [False, True])
@pytest.mark.parametrize("with_posterior", [False, True])
def test_em_never_lowers_the_bound(learn_noise: bool, with_posterior: bool) -> None:
    patches = draws(make_mixture(components=5, values=8), 400)
    mixture = FactorAnalysers.around(patches[:6], factors=3)
    first = nearest_means(patches, mixture.means, 1)[:, 0]
    mixture = with_principal_directions(mixture, patches, first, seeded())
    everyone = torch.arange(6).expand(400, -1)
    bounds = []
    for _ in range(30):
        posteriors = TruncatedPosteriors(everyone, mixture.log_joints(patches, 0, torch.arange(6)))
        bounds.append(float(posteriors.bounds.sum()))
        if with_posterior:
            bounds[-1] -= float(loadings_divergence(mixture).sum())
        mixture = learned(
            mixture,
            collect(mixture, patches, posteriors),
            with_posterior=with_posterior,
            learn_noise=learn_noise,
        )
        assert float(mixture.log_weights.exp().sum()) == pytest.approx(1)
    # Before the first step the loadings are known exactly, which no finite cost allows.
    rises = np.diff(bounds[int(with_posterior) :])
    assert (rises > -1e-7).all()
    assert rises.sum() > 10


def test_needless_factors_vanish() -> None:
    patches = draws(make_mixture(components=1, values=12, factors=1), 300)
    mixture = FactorAnalysers.around(patches[:1], factors=4, noise_variance=0.7)
    whole = torch.zeros(300, 1, dtype=torch.int64)
    mixture = with_principal_directions(mixture, patches, whole[:, 0], seeded())
    for _ in range(100):
        only = TruncatedPosteriors(whole, torch.zeros(300, 1, dtype=torch.float64))
        sums = collect(mixture, patches, only)
        mixture = learned(mixture, sums, with_posterior=True, learn_noise=False)
    lengths = mixture.loadings[0].square().sum(0).sort(descending=True).values
    assert lengths[0] > 2 and (lengths[1:] < 1e-3).all()


def test_learning_ends_where_the_likelihood_has_no_slope() -> None:
    patches = draws(make_mixture(components=1), 200)
    mixture = FactorAnalysers.around(patches[:1], factors=2)
    whole = torch.zeros(200, dtype=torch.int64)
    mixture = with_principal_directions(mixture, patches, whole, seeded())
    for _ in range(200):
        sums = collect(mixture, patches, exact_posteriors(mixture, patches))
        mixture = learned(mixture, sums, with_posterior=False, learn_noise=True)
    # Tipping, Bishop, 1999: the noise variance is the mean of the other eigenvalues.
    torch.testing.assert_close(mixture.means[0], patches.mean(0))
    eigenvalues = torch.linalg.eigvalsh(patches.T.cov(correction=0))
    assert mixture.noise_variance == pytest.approx(float(eigenvalues[:-2].mean()), rel=1e-6)
    found = torch.linalg.eigvalsh(covariances(mixture)[0])
    torch.testing.assert_close(found[-2:], eigenvalues[-2:])


def test_an_unused_component_stays_out_of_use() -> None:
    patches = draws(make_mixture(), 50)
    mixture = FactorAnalysers.around(patches[:3], factors=2)
    only = TruncatedPosteriors(
        torch.tensor([[0, 2]]).expand(50, -1), torch.zeros(50, 2, dtype=torch.float64)
    )
    sums = collect(mixture, patches, only)
    after = learned(mixture, sums, with_posterior=True, learn_noise=True)
    assert after.log_weights.exp().tolist() == pytest.approx([0.5, 0, 0.5])
    torch.testing.assert_close(after.means[1], mixture.means[1])
    bound = after.log_joints(patches, 0, torch.arange(3)).logsumexp(1)
    assert bound.isfinite().all()


def test_recovers_a_mixture() -> None:
    """Three far components with one strong factor each: means, directions and weights."""
    truth = replace(
        make_mixture(components=3, values=10, factors=1, noise_variance=1.0),
        log_weights=torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log(),
    )
    truth = replace(truth, means=4 * truth.means, loadings=2 * truth.loadings)
    options = MFAOptions(components=3, factors=1, learn_noise_variance=True)
    model = learn_mfa(draws(truth, 4000), options, generator=seeded())
    found = model.mixture
    order = torch.cdist(truth.means, found.means).argmin(1)
    assert order.unique().numel() == 3
    torch.testing.assert_close(found.means[order], truth.means, atol=0.4, rtol=0)
    torch.testing.assert_close(
        found.log_weights[order].exp(), truth.log_weights.exp(), atol=0.03, rtol=0
    )
    cosines = torch.cosine_similarity(found.loadings[order], truth.loadings, dim=1)
    assert (cosines.abs() > 0.98).all()
    assert found.noise_variance == pytest.approx(1, abs=0.03)
    rises = np.diff(model.bounds[options.mean_epochs + 1 :])
    assert (rises > -1e-6).all()


def test_samples_have_the_moments_of_their_components() -> None:
    mixture = make_mixture()
    model = MFAModel(mixture, torch.zeros(4, 1, dtype=torch.int64), kept=1, bounds=(0.0,))
    samples = model.sample(40_000, generator=seeded())
    assert samples.groups is not None
    assert (samples.groups.diff() >= 0).all()
    frequencies = samples.groups.bincount(minlength=4) / 40_000
    torch.testing.assert_close(frequencies.double(), mixture.log_weights.exp(), atol=0.01, rtol=0)
    drawn = samples.patches[samples.groups == 2]
    torch.testing.assert_close(drawn.mean(0), mixture.means[2], atol=0.1, rtol=0)
    signal = mixture.loadings[2] @ mixture.loadings[2].T
    torch.testing.assert_close(drawn.T.cov(), signal, atol=0.4, rtol=0)
