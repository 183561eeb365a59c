"""The evolutionary search: never worse, fair, and blind to its neighbours."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from conftest import all_states, make_amplitude_vae, make_mlp_vae, make_patches

from denoise.options import Mutation, ParentSelection, SearchOptions
from denoise.patches import Patches
from denoise.vae.model import BinaryVAE
from denoise.vae.randomness import PatchRandom, choose_by_weight
from denoise.vae.search import breed, cross_over, evolve, select_parents, sparse_flips
from denoise.vae.states import LatentStates, duplicates, flip_bits, random_states

SELECTIONS: tuple[ParentSelection, ...] = ("fitness", "best", "uniform")
MUTATIONS: tuple[Mutation, ...] = ("guided", "random", "sparse")
VARIANTS = [
    SearchOptions(8, 3, 4, generations, selection, mutation, crossover)
    for selection, mutation, (generations, crossover) in product(
        SELECTIONS, MUTATIONS, [(1, False), (2, True)]
    )
]
LATENTS, VALUES = 10, 12


def start(options: SearchOptions, count: int = 40) -> tuple[Patches, LatentStates]:
    patches = make_patches(count, VALUES, missing=True)
    states = random_states(options.states, LATENTS, PatchRandom((9,), patches.index))
    model = make_mlp_vae(LATENTS, VALUES)
    with torch.no_grad():
        return patches, LatentStates(states, model.log_joints(patches, states))


def step(options: SearchOptions, patches: Patches, population: LatentStates) -> LatentStates:
    model = make_mlp_vae(LATENTS, VALUES)
    model.calibrate(population.bits[:, 0])
    random = PatchRandom((1,), patches.index)
    with torch.no_grad():
        return evolve(model, patches, population, options, random=random)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_step_never_lowers_an_elbo_and_keeps_states_distinct(options: SearchOptions) -> None:
    patches, population = start(options)
    found = step(options, patches, population)
    assert (found.elbo() >= population.elbo()).all()
    assert (found.elbo() > population.elbo()).any()
    sorted_before = population.log_joints.sort(1, descending=True).values
    assert (found.log_joints >= sorted_before).all()
    assert not duplicates(found.bits).any()
    with torch.no_grad():
        again = make_mlp_vae(LATENTS, VALUES).log_joints(patches, found.bits)
    torch.testing.assert_close(found.log_joints, again)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_results_do_not_depend_on_neighbours_order_or_chunks(options: SearchOptions) -> None:
    patches, population = start(options)
    together = step(options, patches, population)
    order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))
    for rows in order.split(7):
        model = make_mlp_vae(LATENTS, VALUES)
        model.calibrate(population.bits[:, 0])
        random = PatchRandom((1,), patches.index[rows])
        with torch.no_grad():
            alone = evolve(model, patches[rows], population[rows], options, random=random)
        assert torch.equal(alone.bits, together.bits[rows])
        torch.testing.assert_close(alone.log_joints, together.log_joints[rows])


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_enough_steps_find_the_best_states_of_all(mutation: Mutation) -> None:
    """With 2^6 states in all, the search must reach the exact top 8."""
    options = SearchOptions(8, 3, 4, mutation=mutation, parent_selection="fitness")
    model, patches = make_mlp_vae(6, VALUES), make_patches(20, VALUES)
    population = random_states(8, 6, PatchRandom((0,), patches.index))
    with torch.no_grad():
        states = LatentStates(population, model.log_joints(patches, population))
        model.calibrate(population[:, 0])
        for number in range(80):
            random = PatchRandom((2, number), patches.index)
            states = evolve(model, patches, states, options, random=random)
        exact = model.log_joints(patches, all_states(6, len(patches))).topk(8, dim=1).values
    torch.testing.assert_close(states.log_joints, exact)


@pytest.mark.parametrize("neighbours", [1, 32])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_parents_are_chosen_with_the_stated_frequency(
    selection: ParentSelection, neighbours: int
) -> None:
    """One parent among log joints -500, -501, -503 and an empty place; any batch size."""
    draws = 2000
    options = SearchOptions(4, 1, 1, parent_selection=selection)
    log_joints = torch.tensor([-501.0, -500.0, -503.0, -torch.inf])
    fitness = {"fitness": [2.0, 3.0, 0.0, 0.0], "best": [0, 1, 0, 0], "uniform": [1, 1, 1, 0]}
    expected = torch.tensor(fitness[selection]) / sum(fitness[selection])
    states = torch.eye(4).bool()
    counts = torch.zeros(4)
    for batch in torch.arange(draws).split(neighbours):
        candidates = LatentStates(states.expand(len(batch), 4, 4), log_joints.expand(len(batch), 4))
        parents = select_parents(candidates, options, random=PatchRandom((0,), batch))
        counts += parents[:, 0].float().sum(0)
    torch.testing.assert_close(counts / draws, expected, rtol=0, atol=4 * (0.25 / draws) ** 0.5)


def test_flipped_bits_differ_within_a_parent_and_follow_the_weights() -> None:
    draws = 20_000
    weights = torch.tensor([0.5, 0.25, 0.15, 0.1])
    log_weights = weights.log().expand(draws, 1, 4)
    chosen = choose_by_weight(log_weights, 2, PatchRandom((0,), torch.arange(draws)))
    parents = torch.tensor([[[True, False, True, False]]]).expand(draws, 1, 4)
    flips = flip_bits(parents, chosen) ^ parents  # (draws, 2, 4)
    assert (flips.sum(-1) == 1).all()
    assert (flips.sum(1) <= 1).all()
    torch.testing.assert_close(flips[:, 0].float().mean(0), weights, rtol=0, atol=0.015)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("free_patch_mean", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4), None])
def test_children_scored_from_their_parents_have_the_log_joints_of_the_model(
    hidden: tuple[int, ...] | None, free_patch_mean: bool, missing: bool
) -> None:
    model: BinaryVAE = (
        make_amplitude_vae(6, free_patch_mean=free_patch_mean)
        if hidden is None
        else make_mlp_vae(6, hidden=hidden, free_patch_mean=free_patch_mean)
    )
    patches = make_patches(8, missing=missing)
    random = PatchRandom((0,), patches.index)
    parents = random_states(3, 6, random)
    chosen = choose_by_weight(torch.zeros(8, 3, 6), 4, random)
    with torch.no_grad():
        children = flip_bits(parents, chosen)
        found = model.flip_log_joints(patches, parents, chosen)
        torch.testing.assert_close(found, model.log_joints(patches, children))


@pytest.mark.parametrize("active", [0, 2, 5, 11])
def test_sparse_flips_lead_to_the_number_of_ones_that_the_prior_expects(active: int) -> None:
    latents, draws = 20, 20_000
    prior_probs = torch.full((latents,), 5 / latents)
    parents = (torch.arange(latents) < active).expand(draws, 1, -1)
    random = PatchRandom((0,), torch.arange(draws))
    flips = sparse_flips(parents, prior_probs, 1, random=random)[:, :, 0]
    children = parents ^ flips
    expected_ones = 5 if active else 5.5  # nothing can be switched off in the empty state
    assert children.sum(-1).float().mean() == pytest.approx(expected_ones, abs=0.06)
    expected_flips = 1 + abs(5 - active) if active else 5.5
    assert flips.sum(-1).float().mean() == pytest.approx(expected_flips, abs=0.06)


def test_crossover_joins_the_head_of_one_parent_to_the_tail_of_the_next() -> None:
    parents = torch.stack([torch.zeros(16), torch.ones(16)]).bool().expand(3000, 2, 16)
    crossed = cross_over(parents, random=PatchRandom((0,), torch.arange(3000)))
    first, second = crossed[:, 0].int(), crossed[:, 1].int()
    assert (first.diff(dim=1) >= 0).all()  # zeros, then ones
    assert (second.diff(dim=1) <= 0).all()
    cuts = torch.bincount(16 - first.sum(1), minlength=17)[1:] / 3000
    torch.testing.assert_close(cuts, torch.full((16,), 1 / 16), rtol=0, atol=0.02)


def test_crossover_of_three_parents_goes_round() -> None:
    parents = torch.eye(3).bool().repeat_interleave(8, 1).expand(200, 3, 24)
    crossed = cross_over(parents, random=PatchRandom((0,), torch.arange(200)))
    for n, p in product(range(200), range(3)):
        child, own, following = crossed[n, p], parents[n, p], parents[n, (p + 1) % 3]
        cuts = [torch.equal(child, torch.cat([own[:c], following[c:]])) for c in range(25)]
        assert any(cuts)


def test_guided_mutation_prefers_flips_that_raise_the_log_joint() -> None:
    model, patches = make_mlp_vae(LATENTS, VALUES), make_patches(200, VALUES)
    parents = random_states(4, LATENTS, PatchRandom((3,), patches.index))
    model.calibrate(parents[:, 0])
    gains = {}
    with torch.no_grad():
        before = model.log_joints(patches, parents).repeat_interleave(2, 1)
        for mutation in ("guided", "random"):
            options = SearchOptions(4, 4, 2, mutation=mutation)
            random = PatchRandom((4,), patches.index)
            children = breed(model, patches, parents, options, random=random)
            gains[mutation] = (children.log_joints - before).mean()
    assert gains["guided"] > gains["random"] + 0.5
