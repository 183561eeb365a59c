"""The amplitude model against dense Gaussians, enumeration and differentiation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import all_states, make_amplitude_vae, make_mlp_vae, make_patches
from test_model import exact_posterior
from torch import Tensor

from denoise.kernels.amplitude import Extent
from denoise.patches import Patches
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.best_first import explore
from denoise.vae.closed_form import amplitude_sums
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import no_latents_on

MISSING = pytest.mark.parametrize("missing", [False, True])

FREE_MEANS = pytest.mark.parametrize("free_patch_mean", [False, True])


def dense_covariance(model: AmplitudeVAE, state: Tensor) -> np.ndarray:
    """Covariance of a noise-free patch given z, free mean aside: (D, D)."""
    active = model.vectors[state].numpy()
    return active.T @ active


def log_normal(difference: np.ndarray, covariance: np.ndarray) -> float:
    sign, log_determinant = np.linalg.slogdet(2 * math.pi * covariance)
    assert sign > 0
    return float(
        -0.5 * difference @ np.linalg.solve(covariance, difference) - 0.5 * log_determinant
    )


@MISSING
def test_log_joints_and_moments_equal_dense_gaussians(missing: bool) -> None:
    """Enumerate all states; each is a Gaussian whose unobserved values are left out."""
    model, patches = make_amplitude_vae(3), make_patches(missing=missing)
    posterior = exact_posterior(model, patches)
    mean, variance = model.posterior_moments(patches, posterior)
    pi, noise = model.prior_probs.numpy(), float(model.noise_variance)
    for n in range(len(patches)):
        seen = patches.mask[n].numpy().astype(bool)
        values = patches.values[n].numpy()[seen]
        joints, means, variances = [], [], []
        for state in posterior.bits[n]:
            prior_covariance = dense_covariance(model, state)
            covariance = prior_covariance[np.ix_(seen, seen)] + noise * np.eye(seen.sum())
            gain = np.linalg.solve(covariance, prior_covariance[seen]).T
            bits = state.numpy()
            log_prior = np.log(np.where(bits, pi, 1 - pi)).sum()
            joints.append(log_prior + log_normal(values, covariance))
            means.append(gain @ values)
            variances.append(np.diag(prior_covariance - gain @ prior_covariance[seen]))
        np.testing.assert_allclose(posterior.log_joints[n].numpy(), joints, rtol=1e-10)
        weights = np.exp(np.array(joints) - np.logaddexp.reduce(joints))
        expected = weights @ np.array(means)
        np.testing.assert_allclose(mean[n].detach().numpy(), expected, rtol=1e-8, atol=1e-10)
        spread = weights @ (np.array(means) - expected) ** 2
        np.testing.assert_allclose(
            variance[n].detach().numpy(), weights @ np.array(variances) + spread, rtol=1e-8
        )


@MISSING
def test_free_patch_mean_is_the_limit_of_a_broad_prior_on_brightness(missing: bool) -> None:
    """With brightness ~ Normal(0, v), v large: same moments, and log joints up to v's own share."""
    model = make_amplitude_vae(3, free_patch_mean=True)
    patches = make_patches(missing=missing)
    states = all_states(3, len(patches))
    with torch.no_grad():
        log_joints = model.log_joints(patches, states)
        means, variances = model.reconstructions(patches, states)
    noise, broad = float(model.noise_variance), 1e7
    for n, s in ((0, 5), (2, 7), (4, 0)):
        seen = patches.mask[n].numpy().astype(bool)
        prior_covariance = dense_covariance(model, states[n, s]) + broad
        covariance = prior_covariance[np.ix_(seen, seen)] + noise * np.eye(seen.sum())
        difference = patches.values[n].numpy()[seen]
        gain = np.linalg.solve(covariance, prior_covariance[seen]).T
        np.testing.assert_allclose(means[n, s].numpy(), gain @ difference, rtol=1e-4, atol=1e-5)
        posterior = prior_covariance - gain @ prior_covariance[seen]
        np.testing.assert_allclose(variances[n, s].numpy(), np.diag(posterior), rtol=1e-3)
        pi = model.prior_probs
        log_prior = float(torch.where(states[n, s], pi, 1 - pi).log().sum())
        # The broad prior's density at its centre, along a direction of length sqrt(values seen).
        share = 0.5 * math.log(2 * math.pi * broad * seen.sum())
        expected = log_prior + log_normal(difference, covariance) + share
        assert float(log_joints[n, s]) == pytest.approx(expected, abs=1e-4)


@FREE_MEANS
@MISSING
def test_zero_amplitudes_are_the_published_model_with_a_mean_of_zero(
    free_patch_mean: bool, missing: bool
) -> None:
    published = make_mlp_vae(4, free_patch_mean=free_patch_mean)
    with torch.no_grad():
        for parameter in published.mlp.parameters():
            parameter.zero_()
    zero = AmplitudeVAE(
        torch.zeros(4, 6, dtype=torch.float64),
        published.prior_probs,
        published.noise_variance,
        free_patch_mean=free_patch_mean,
    )
    patches = make_patches(missing=missing)
    states = all_states(4, len(patches))
    with torch.no_grad():
        torch.testing.assert_close(
            published.log_joints(patches, states), zero.log_joints(patches, states)
        )
        for one, other in zip(
            published.reconstructions(patches, states),
            zero.reconstructions(patches, states),
            strict=True,
        ):
            torch.testing.assert_close(one, other)


@FREE_MEANS
@MISSING
def test_flip_gains_are_exact(free_patch_mean: bool, missing: bool) -> None:
    model = make_amplitude_vae(4, free_patch_mean=free_patch_mean)
    patches = make_patches(missing=missing)
    states = all_states(4, len(patches))
    gains, before = model.flip_gains(patches, states), model.log_joints(patches, states)
    for h in range(4):
        flipped = states.clone()
        flipped[..., h] ^= True
        exact = model.log_joints(patches, flipped) - before
        torch.testing.assert_close(gains[..., h], exact, rtol=1e-8, atol=1e-8)


def test_no_more_latents_are_added_than_allowed() -> None:
    model = make_amplitude_vae(4)
    model.max_active = 2
    states = all_states(4, 5)
    gains = model.flip_gains(make_patches(), states)
    adding = ~states & (states.sum(-1, keepdim=True) >= 2)
    assert bool((gains.isneginf() == adding).all())


@FREE_MEANS
@MISSING
def test_sums_give_the_gradient_of_the_log_likelihood(missing: bool, free_patch_mean: bool) -> None:
    """Fisher's identity: d log p(x) / dW = (<a r^T> - <a a^T> W) / sigma^2, over all states."""
    model = make_amplitude_vae(3, free_patch_mean=free_patch_mean)
    patches = make_patches(missing=missing)
    states = all_states(3, len(patches))
    sums, _ = amplitude_sums(model, patches, exact_posterior(model, patches))
    vectors = model.vectors
    vectors.requires_grad_(True)
    log_likelihood = model.log_joints(patches, states).logsumexp(1).sum()
    (expected,) = torch.autograd.grad(log_likelihood, vectors)
    gradient = (sums.cross - sums.products @ vectors) / model.noise_variance
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("amplitudes", [True, False])
def test_search_never_lowers_the_elbo_and_finds_all_states_in_the_end(amplitudes: bool) -> None:
    model: BinaryVAE = make_amplitude_vae(4) if amplitudes else make_mlp_vae(4)
    patches = make_patches(missing=True)
    with torch.no_grad():
        found = model.scored(patches, no_latents_on(16, 4, 4, patches.values))
        before = found.elbo()
        for expansions in (1, 2, 16):
            found = explore(model, patches, found, Extent(expansions, 4))
            assert bool((found.elbo() >= before - 1e-12).all())
            before = found.elbo()
    torch.testing.assert_close(before, exact_posterior(model, patches).elbo())


def test_posterior_variance_is_calibrated_on_patches_from_the_model() -> None:
    """z-scores of the truth have mean square 1 when patches are drawn from the model itself."""
    model = make_amplitude_vae(4, values=9)
    generator = torch.Generator().manual_seed(0)
    count = 4000
    states = torch.rand(count, 4, generator=generator) < model.prior_probs
    drawn = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    clean = (states * drawn) @ model.vectors
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    noisy = clean + noise * model.noise_variance.sqrt()
    patches = Patches.from_raw(noisy, torch.arange(count))
    mean, variance = model.posterior_moments(patches, exact_posterior(model, patches))
    scores = (clean - mean).square().mean() / variance.mean()
    assert float(scores) == pytest.approx(1, abs=0.03)
    likely = variance > 0.01
    assert float(((clean - mean).square() / variance)[likely].mean()) == pytest.approx(1, abs=0.1)


def test_unlikely_states_may_be_left_out_of_the_moments() -> None:
    model, patches = make_amplitude_vae(3), make_patches(missing=False)
    posterior = exact_posterior(model, patches)
    mean, variance = model.posterior_moments(patches, posterior)
    some_mean, some_variance = model.posterior_moments(patches, posterior, least_weight=1e-3)
    torch.testing.assert_close(some_mean, mean, rtol=0.02, atol=0.02)
    torch.testing.assert_close(some_variance, variance, rtol=0.05, atol=0.01)
    sure = posterior.posterior_weights().max(1).values >= 0.5
    assert sure.any()
    best = model.reconstructions(patches, posterior.best(1).bits)[0][:, 0]
    alone = model.posterior_moments(patches, posterior, least_weight=0.5)[0]
    torch.testing.assert_close(alone[sure], best[sure])
