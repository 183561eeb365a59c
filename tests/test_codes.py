"""Codes of a VQ-VAE: the tree of its prior, the search, the posterior; by enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from denoise.errors import TrainingError
from denoise.methods.vaes.code_posterior import CodePosterior
from denoise.methods.vaes.code_search import neighbours, search
from denoise.methods.vaes.code_tree import COUNT_UNIT, CodeTree, count_pairs
from denoise.methods.vaes.codebooks import nearest_codes
from denoise.methods.vaes.interface import PosteriorOptions
from denoise.methods.vaes.vq_vae import VQVAE, VQOptions

SLOTS, CODES = 3, 4
STATES = torch.tensor(list(itertools.product(range(CODES), repeat=SLOTS)))
EVERYTHING = PosteriorOptions(states=len(STATES), steps=len(STATES), epochs=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_tree(seed: int = 0) -> CodeTree:
    """1 and 2 depend on 0."""
    tables = torch.randn(SLOTS, CODES, CODES, generator=seeded(seed)).log_softmax(2)
    tables[0] = tables[0, :1]
    return CodeTree([0, 1, 2], [None, 0, 0], tables)


def tiny_vae(seed: int = 0) -> VQVAE:
    """A model of patches with 6 values, with a prior."""
    options = VQOptions(slots=SLOTS, codes=CODES, code_size=2, hidden=(5,))
    model = VQVAE(6, options, seeded(seed))
    model.prior = random_tree(seed + 1)
    return model


def exact_log_joints(model: VQVAE, patches: Tensor) -> Tensor:
    """log p(x, z) of all states from the decoder itself, with the constant: (N, K^M)."""
    means = model.decoder(model.look_up(STATES).flatten(1))
    likelihood = torch.distributions.Normal(means, 1.0).log_prob(patches[:, None]).sum(2)
    joints: Tensor = likelihood + model.prior.log_prob(STATES)
    return joints


def test_probabilities_of_all_states_add_up_to_one() -> None:
    assert float(random_tree().log_prob(STATES).exp().sum()) == pytest.approx(1)
    assert CodeTree.uniform(SLOTS, CODES, torch.zeros(1)).log_prob(STATES) == pytest.approx(
        torch.full((len(STATES),), -SLOTS * math.log(CODES))
    )


def test_counting_finds_the_tree_that_the_codes_were_drawn_from() -> None:
    true = random_tree()
    codes = true.sample(40_000, generator=seeded(3))
    found = CodeTree.of_counts(count_pairs(codes, torch.ones(len(codes)), CODES))
    assert found.parents == [None, 0, 0]
    torch.testing.assert_close(
        found.log_prob(STATES).exp(), true.log_prob(STATES).exp(), atol=4e-3, rtol=0
    )
    assert found.log_prob(codes).mean() > true.log_prob(codes).mean() - 1e-3


def test_samples_have_the_probabilities_of_the_states() -> None:
    true = random_tree()
    codes = true.sample(50_000, generator=seeded(1))
    number = (codes * torch.tensor([CODES**2, CODES, 1])).sum(1)
    frequencies = torch.bincount(number, minlength=len(STATES)) / len(codes)
    torch.testing.assert_close(frequencies, true.log_prob(STATES).exp(), atol=4e-3, rtol=0)


def test_counts_are_weighted_and_do_not_depend_on_the_order() -> None:
    codes = torch.randint(CODES, (500, SLOTS), generator=seeded(1))
    weights = torch.rand(500, generator=seeded(2))
    pairs = count_pairs(codes, weights, CODES)
    order = torch.randperm(500, generator=seeded(3))
    assert pairs.equal(count_pairs(codes[order], weights[order], CODES))
    assert pairs.equal(
        count_pairs(codes[:200], weights[:200], CODES)
        + count_pairs(codes[200:], weights[200:], CODES)
    )
    expected = float(weights[(codes[:, 0] == 1) & (codes[:, 2] == 3)].sum())
    assert float(pairs[0, 2, 1, 3]) * COUNT_UNIT == pytest.approx(expected, abs=1e-4)


def test_neighbours_differ_in_one_slot() -> None:
    codes = torch.tensor([[0, 1, 2], [3, 3, 3]])
    candidates = torch.randint(CODES, (2, SLOTS, 2), generator=seeded())
    children = neighbours(codes, candidates)
    assert children.shape == (2, 6, 3)
    for number, (patch, slot, tried) in enumerate(itertools.product(range(2), range(3), range(2))):
        expected = codes[patch].clone()
        expected[slot] = candidates[patch, slot, tried]
        assert children[patch, number % 6].equal(expected)


def test_search_keeps_the_best_distinct_states_and_never_falls() -> None:
    table = torch.randn(5, len(STATES), generator=seeded())

    def log_joints(codes: Tensor) -> Tensor:
        return table.gather(1, (codes * torch.tensor([CODES**2, CODES, 1])).sum(2))

    start = torch.zeros(5, 2, SLOTS, dtype=torch.int64)
    candidates = torch.arange(CODES).expand(5, SLOTS, CODES)
    elbo = torch.full((5,), -torch.inf)
    for expansions in (0, 1, 3, 10, len(STATES)):
        found = search(log_joints, start, candidates, states=9, expansions=expansions)
        assert (found.elbo() >= elbo).all()
        elbo = found.elbo()
        kept = found.log_joints > -torch.inf
        assert kept[:, 0].all() and kept.sum(1).eq(min(1 + 9 * expansions, 9)).all()
        assert log_joints(found.codes)[kept].equal(found.log_joints[kept])
    every = search(log_joints, start, candidates, states=64, expansions=64)
    torch.testing.assert_close(every.log_joints, table.sort(dim=1, descending=True).values)


def test_the_posterior_mean_is_that_of_all_states() -> None:
    model = tiny_vae()
    patches = 2 * torch.randn(20, 6, generator=seeded(5))
    joints = exact_log_joints(model, patches)
    means = model.decoder(model.look_up(STATES).flatten(1))
    expected = joints.softmax(1) @ means
    found = model.posterior_mean(patches, EVERYTHING, generator=seeded())
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
    constant = 6 / 2 * math.log(2 * math.pi)
    states = CodePosterior(model).find(patches, EVERYTHING)
    torch.testing.assert_close(states.elbo() - constant, joints.logsumexp(1))


def test_bounds_lie_below_the_exact_likelihood() -> None:
    """That of one code (van den Oord et al. 2017, section 3.3) below that of some states."""
    model = tiny_vae()
    patches = torch.randn(50, 6, generator=seeded(5))
    exact = exact_log_joints(model, patches).logsumexp(1) + 3 * math.log(2 * math.pi)
    some = CodePosterior(model).find(patches, PosteriorOptions(states=6, steps=2)).elbo()
    one = model.log_prob_bound(patches)
    assert (one <= some + 1e-5).all() and (some <= exact + 1e-5).all()
    assert (some > one).float().mean() > 0.5


def test_learning_raises_the_likelihood_of_what_the_model_says() -> None:
    """Data of a known model: after the epochs the exact likelihood is near that of the truth."""
    truth = tiny_vae(3)
    codes = truth.prior.sample(1500, generator=seeded(1))
    clean = 3 * truth.decoder(truth.look_up(codes).flatten(1)).detach()
    patches = clean + torch.randn(clean.shape, generator=seeded(2))
    model = tiny_vae(7)
    before = exact_log_joints(model, patches).logsumexp(1).mean()
    epochs = []
    model.learn_posterior(
        patches,
        PosteriorOptions(states=8, steps=2, epochs=12, learning_rate=2e-2),
        generator=seeded(),
        on_epoch=lambda: epochs.append(1),
    )
    after = exact_log_joints(model, patches).logsumexp(1).mean()
    means = 3 * truth.decoder(truth.look_up(STATES).flatten(1))
    likelihood = torch.distributions.Normal(means, 1.0).log_prob(patches[:, None]).sum(2)
    best = (likelihood + truth.prior.log_prob(STATES)).logsumexp(1).mean()
    assert len(epochs) == 12
    assert after > before + 1
    assert after > best - 0.3


def test_an_elbo_without_bounds_is_said() -> None:
    patches = torch.randn(40, 6, generator=seeded(1))
    wild = PosteriorOptions(epochs=3, learning_rate=1e30)
    with pytest.raises(TrainingError, match="under the posterior"):
        tiny_vae().learn_posterior(patches, wild, generator=seeded(), on_epoch=lambda: None)


def test_without_epochs_only_the_prior_is_learned() -> None:
    model = tiny_vae()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    patches = torch.randn(300, 6, generator=seeded(5))
    model.learn_posterior(
        patches, PosteriorOptions(epochs=0), generator=seeded(), on_epoch=lambda: None
    )
    after = {name: value for name, value in model.state_dict().items() if "prior" not in name}
    assert all(value.equal(before[name]) for name, value in after.items())
    codes = nearest_codes(model.encode(patches), model.codebooks)
    uniform = -SLOTS * math.log(CODES)
    assert model.prior.log_prob(codes).mean() > uniform + 0.1


def test_samples_are_decoded_codes() -> None:
    model = tiny_vae()
    samples = model.sample(30, generator=seeded())
    assert samples.groups is not None
    possible = model.decoder(model.look_up(STATES).flatten(1)).detach()
    distances = torch.cdist(samples.patches, possible).min(1)
    assert float(distances.values.max()) < 1e-3
    assert samples.groups.equal(STATES[distances.indices][:, 0])
