"""Truncated posteriors of VAEs with binary latents and an encoder, by enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from denoise.methods.vaes import bit_posterior
from denoise.methods.vaes.bit_vae import BitVAE
from denoise.methods.vaes.gumbel_vae import GumbelOptions, GumbelVAE
from denoise.methods.vaes.interface import PosteriorOptions
from denoise.methods.vaes.nash_vae import NashOptions, NashVAE
from denoise.patches import Patches
from denoise.vae.states import LatentStates

LATENTS, VALUES = 4, 6
STATES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=LATENTS)))
SOME = PosteriorOptions(states=8, steps=6, epochs=0)
NUMBERS = torch.arange(20)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny_vae(kind: str = "gumbel", seed: int = 0) -> BitVAE:
    """Random encoder, decoder and prior."""
    model: BitVAE
    if kind == "gumbel":
        options = GumbelOptions(latents=LATENTS, expected_active=2, hidden=(7,))
        model = GumbelVAE(VALUES, options, seeded(seed))
    else:
        model = NashVAE(VALUES, NashOptions(latents=LATENTS, hidden=(7, 7)), seeded(seed))
    model.prior_logits.data = torch.randn(LATENTS, generator=seeded(seed + 1))
    return model


def exact_log_joints(model: BitVAE, patches: Tensor) -> Tensor:
    """log p(x, z) of all states: (N, 2^H)."""
    likelihood = torch.distributions.Normal(model.decoder(STATES), 1.0)
    prior = torch.distributions.Bernoulli(logits=model.prior_logits).log_prob(STATES).sum(1)
    joints: Tensor = likelihood.log_prob(patches[:, None]).sum(2) + prior
    return joints.detach()


@pytest.mark.parametrize("kind", ["gumbel", "nash"])
def test_the_posterior_mean_is_that_of_all_states(kind: str) -> None:
    model = tiny_vae(kind)
    patches = 2 * torch.randn(20, VALUES, generator=seeded(5))
    joints = exact_log_joints(model, patches)
    expected = joints.softmax(1) @ model.decoder(STATES).detach()
    generative = bit_posterior.searched(model.decoder, model.prior_logits)
    bits = STATES.bool().expand(len(patches), -1, -1)
    every = LatentStates(bits, generative.log_joints(Patches.from_raw(patches, NUMBERS), bits))
    torch.testing.assert_close(every.log_joints.detach(), joints)
    with torch.no_grad():
        mean = generative.posterior_mean(Patches.from_raw(patches, NUMBERS), every)
    torch.testing.assert_close(mean, expected)
    # Half of the states are enough.
    found = model.posterior_mean(patches, SOME, generator=seeded())
    torch.testing.assert_close(found, expected, atol=0.2, rtol=0)
    model.options = GumbelOptions(latents=LATENTS, expected_active=2, posterior=SOME)
    reported = model.diagnostics(patches, generator=seeded())["-ELBO"]
    exact = -float(joints.logsumexp(1).mean()) - VALUES / 2 * math.log(2 * math.pi)
    assert exact - 1e-3 < reported < exact + 0.5


def test_search_finds_more_than_the_encoder_proposes_and_stays_below_the_likelihood() -> None:
    model = tiny_vae()
    patches = 2 * torch.randn(200, VALUES, generator=seeded(5))
    with torch.no_grad():
        logits = model.encoder(patches)
    generative = bit_posterior.searched(model.decoder, model.prior_logits)
    exact, before = exact_log_joints(model, patches).logsumexp(1), torch.tensor(-torch.inf)
    for steps in (1, 2, 6):
        posterior = PosteriorOptions(states=8, steps=steps)
        found = bit_posterior.find_states(generative, patches, logits, posterior, seeded())
        elbo = found.elbo()
        assert (elbo <= exact + 1e-4).all()
        assert elbo.mean() >= before
        before = elbo.mean()
    assert before > exact.mean() - 0.5


def test_proposals_are_the_likeliest_state_and_distinct_draws() -> None:
    logits = torch.tensor([[3.0, -3.0, 0.1], [9.0, 9.0, -9.0]])
    states = bit_posterior.proposed_states(logits, 8, seeded())
    assert states.bits.shape == (2, 8, 3)
    for patch, best in enumerate(([True, False, True], [True, True, False])):
        kept = states.bits[patch][states.log_joints[patch] > -torch.inf].tolist()
        assert best in kept
        assert len({tuple(one) for one in kept}) == len(kept) <= 1 + bit_posterior.DRAWS
    assert int((states.log_joints[1] > -torch.inf).sum()) == 1


def test_learning_raises_the_likelihood_of_what_a_model_says() -> None:
    truth = tiny_vae(seed=3)
    bits = torch.rand(1500, LATENTS, generator=seeded(1)) < truth.prior_logits.sigmoid()
    clean = 3 * truth.decoder(bits.float()).detach()
    patches = clean + torch.randn(clean.shape, generator=seeded(2))
    model = tiny_vae(seed=7)
    before = exact_log_joints(model, patches).logsumexp(1).mean()
    epochs: list[int] = []
    model.learn_posterior(
        patches,
        PosteriorOptions(states=8, steps=2, epochs=20, learning_rate=2e-2),
        generator=seeded(),
        on_epoch=lambda: epochs.append(1),
    )
    after = exact_log_joints(model, patches).logsumexp(1).mean()
    truth.decoder.layers[-1].weight.data *= 3
    truth.decoder.layers[-1].bias.data *= 3
    best = exact_log_joints(truth, patches).logsumexp(1).mean()
    assert len(epochs) == 20
    assert after > before + 1
    assert after > best - 1


def test_samples_have_the_prior_s_frequencies() -> None:
    model = tiny_vae()
    samples = model.sample(20_000, generator=seeded())
    assert samples.groups is None
    distances = torch.cdist(samples.patches, model.decoder(STATES).detach()).min(1)
    assert float(distances.values.max()) < 1e-3
    bits = STATES[distances.indices]
    expected = model.prior_logits.detach().sigmoid()
    torch.testing.assert_close(bits.mean(0), expected, atol=0.015, rtol=0)
