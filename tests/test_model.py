"""The model against enumeration, numerical integration and automatic differentiation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from conftest import all_states, make_mlp_vae, make_patches

from denoise.patches import Patches
from denoise.vae.gradient import gradient
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.model import BinaryVAE
from denoise.vae.states import LatentStates


def brute_force(model: MLPVAE, patches: Patches) -> tuple[np.ndarray, np.ndarray]:
    """Log likelihood and posterior mean of every patch, in plain numpy, state by state."""
    pi, variance = model.prior_probs.numpy(), float(model.noise_variance)
    latents, values = len(pi), patches.values.shape[1]
    log_likelihoods, means = [], []
    for x, mask in zip(patches.values.numpy(), patches.mask.numpy().astype(bool), strict=True):
        joint, conditional_means = [], []
        for bits in itertools.product([0.0, 1.0], repeat=latents):
            with torch.no_grad():
                mu = model.mlp(torch.tensor(bits, dtype=torch.float64)).numpy()
            prior = np.prod([p if bit else 1 - p for bit, p in zip(bits, pi, strict=True)])
            density = np.exp(-((x - mu)[mask] ** 2) / (2 * variance)) / math.sqrt(
                2 * math.pi * variance
            )
            joint.append(prior * np.prod(density))
            conditional_means.append(mu)
        weights = np.array(joint) / np.sum(joint)
        log_likelihoods.append(math.log(np.sum(joint)))
        means.append(weights @ np.array(conditional_means))
    assert len(means[0]) == values
    return np.array(log_likelihoods), np.array(means)


def exact_posterior(model: BinaryVAE, patches: Patches) -> LatentStates:
    states = all_states(len(model.prior_probs), len(patches))
    with torch.no_grad():
        return LatentStates(states, model.log_joints(patches, states))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("latents", [1, 3, 4])
def test_elbo_and_posterior_mean_equal_enumeration(latents: int, missing: bool) -> None:
    model, patches = make_mlp_vae(latents), make_patches(missing=missing)
    posterior = exact_posterior(model, patches)
    log_likelihoods, means = brute_force(model, patches)
    np.testing.assert_allclose(posterior.elbo().numpy(), log_likelihoods, rtol=1e-12)
    with torch.no_grad():
        reconstructed = model.posterior_mean(patches, posterior).numpy()
    np.testing.assert_allclose(reconstructed, means, rtol=1e-10)


@pytest.mark.parametrize("missing", [False, True])
def test_free_patch_mean_equals_numerical_integration(missing: bool) -> None:
    """Integrate the brightness m of x ~ N(m + mu, sigma^2) over a fine grid."""
    model, patches = make_mlp_vae(3, free_patch_mean=True), make_patches(missing=missing)
    states = all_states(3, len(patches))
    brightness = torch.linspace(-40, 40, 200_001, dtype=torch.float64)
    step = float(brightness[1] - brightness[0])
    pi = model.prior_probs
    log_prior = torch.where(states[0, 5], pi, 1 - pi).log().sum()
    with torch.no_grad():
        log_joints = model.log_joints(patches, states)
        reconstructions, _ = model.reconstructions(patches, states)
        mu = model.mlp(states[0, 5].double())
        for n in range(len(patches)):
            mask = patches.mask[n]
            residuals = (patches.values[n] - mu - brightness[:, None]) * mask  # (grid, D)
            log_noise = math.log(2 * math.pi * float(model.noise_variance))
            log_density = -0.5 * residuals.square().sum(1) / model.noise_variance
            log_density -= 0.5 * mask.sum() * log_noise
            expected = log_density.logsumexp(0) + math.log(step) + log_prior
            # sqrt(number of values) is the length of the direction that m moves along.
            expected += 0.5 * math.log(float(mask.sum()))
            torch.testing.assert_close(log_joints[n, 5], expected, rtol=1e-8, atol=1e-8)
            mean_brightness = log_density.softmax(0) @ brightness
            torch.testing.assert_close(reconstructions[n, 5], mu + mean_brightness)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("free_patch_mean", [False, True])
def test_gradient_of_elbo_equals_autograd_of_log_likelihood(
    free_patch_mean: bool, missing: bool
) -> None:
    model = make_mlp_vae(4, free_patch_mean=free_patch_mean)
    patches = make_patches(missing=missing)
    states = all_states(4, len(patches))
    log_likelihood = model.log_joints(patches, states).logsumexp(1).mean()
    expected = torch.autograd.grad(log_likelihood, list(model.mlp.parameters()))

    gradients, _ = gradient(model, patches, exact_posterior(model, patches))
    for one, mean in zip(gradients, expected, strict=True):
        torch.testing.assert_close(-one / len(patches), mean)


@pytest.mark.parametrize("free_patch_mean", [False, True])
def test_closed_forms_are_where_the_elbo_is_stationary(free_patch_mean: bool) -> None:
    """For fixed q, pi and sigma^2 maximise the expected log joint: its gradient there is 0."""
    model = make_mlp_vae(4, free_patch_mean=free_patch_mean)
    patches = make_patches(40, missing=True)
    posterior = exact_posterior(model, patches)
    _, totals = gradient(model, patches, posterior)
    model.update_prior(totals.latents / len(patches))
    model.update_noise_variance(totals.squared_error / model.degrees_of_freedom(patches).sum())

    model.prior_probs.requires_grad_(True)
    model.noise_variance.requires_grad_(True)
    log_joints = model.log_joints(patches, posterior.bits)
    expected_log_joint = (posterior.posterior_weights() * log_joints).sum()
    for one in torch.autograd.grad(expected_log_joint, [model.prior_probs, model.noise_variance]):
        torch.testing.assert_close(one, torch.zeros_like(one), rtol=0, atol=1e-8)


def test_closed_forms_equal_plain_sums() -> None:
    model, patches = make_mlp_vae(3), make_patches(missing=True)
    posterior = exact_posterior(model, patches)
    _, totals = gradient(model, patches, posterior)

    weights = posterior.posterior_weights().numpy()
    with torch.no_grad():
        means = model.mlp(posterior.bits.double()).numpy()
    on = np.zeros(3)
    squared = values = 0.0
    for n, s in itertools.product(*map(range, weights.shape)):
        on += weights[n, s] * posterior.bits[n, s].numpy() / len(patches)
        difference = (patches.values[n].numpy() - means[n, s]) * patches.mask[n].numpy()
        squared += weights[n, s] * float(difference @ difference)
    values = float(patches.mask.sum())
    model.update_prior(totals.latents / len(patches))
    model.update_noise_variance(totals.squared_error / model.degrees_of_freedom(patches).sum())
    np.testing.assert_allclose(model.prior_probs.numpy(), on, rtol=1e-12)
    assert float(model.noise_variance) == pytest.approx(squared / values, rel=1e-12)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("free_patch_mean", [False, True])
def test_pool_scores_equal_log_joints(free_patch_mean: bool, missing: bool) -> None:
    model = make_mlp_vae(4, free_patch_mean=free_patch_mean)
    patches = make_patches(missing=missing)
    states = all_states(4, len(patches))
    with torch.no_grad():
        torch.testing.assert_close(
            model.pool_log_joints(patches, states[0]), model.log_joints(patches, states)
        )


@pytest.mark.parametrize("free_patch_mean", [False, True])
def test_flip_gains_are_exact_for_a_linear_decoder(free_patch_mean: bool) -> None:
    """Without hidden layers the second-order expansion of the log joint is exact."""
    model = make_mlp_vae(4, free_patch_mean=free_patch_mean, hidden=())
    patches = make_patches()
    states = all_states(4, len(patches))[:, 3:7]
    model.calibrate(states[0])
    gains = model.flip_gains(patches, states)
    with torch.no_grad():
        before = model.log_joints(patches, states)
        for h in range(4):
            flipped = states.clone()
            flipped[..., h] ^= True
            exact = model.log_joints(patches, flipped) - before
            torch.testing.assert_close(gains[..., h], exact)


def test_wholly_missing_patch_has_its_prior_as_posterior() -> None:
    model = make_mlp_vae(3)
    patches = Patches.from_raw(
        torch.full((1, 6), torch.nan, dtype=torch.float64), torch.tensor([0])
    )
    posterior = exact_posterior(model, patches)
    assert float(posterior.elbo()) == pytest.approx(0.0, abs=1e-12)
    on = posterior.posterior_weights() @ posterior.bits[0].double()
    torch.testing.assert_close(on[0], model.prior_probs)
