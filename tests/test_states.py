"""Sets of distinct states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import all_states

from denoise.vae.randomness import PatchRandom
from denoise.vae.states import LatentStates, duplicates, random_states, sparsest_states
from denoise.vae.stored_states import PackedStates, SparseStates, most_used_states, no_latents_on


def random_sets(count: int, size: int, latents: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, size, latents, generator=generator) < 0.4


@pytest.mark.parametrize("latents", [1, 4, 60, 512])
def test_duplicates_are_all_but_the_first_of_equal_states(latents: int) -> None:
    states = random_sets(20, 12, latents, seed=0)
    states[:, 7] = states[:, 2]
    states[:, 9] = states[:, 2]
    marked = duplicates(states)
    for n in range(20):
        seen: set[tuple[bool, ...]] = set()
        for s in range(12):
            state = tuple(states[n, s].tolist())
            assert bool(marked[n, s]) == (state in seen)
            seen.add(state)


def test_merged_keeps_the_best_distinct_states_of_all() -> None:
    """Against a dictionary from state to log joint, sorted."""
    sets = [random_sets(30, 8, 5, seed) for seed in (1, 2)]
    codes = 2 ** torch.arange(5)
    scores = torch.randn(30, 32, generator=torch.Generator().manual_seed(3))
    first, second = (
        LatentStates(states, scores.gather(1, (states * codes).sum(-1))) for states in sets
    )
    first = LatentStates(
        first.bits, first.log_joints.masked_fill(duplicates(first.bits), -torch.inf)
    )
    merged = first.merged(second)
    for n in range(30):
        table = {
            int(code): float(scores[n, code])
            for states in sets
            for code in (states[n] * codes).sum(-1)
        }
        expected = sorted(table.values(), reverse=True)[:8]
        kept = merged.log_joints[n, : len(expected)]
        assert kept.tolist() == expected
        assert merged.log_joints[n, len(expected) :].isneginf().all()
        found = (merged.bits[n] * codes).sum(-1)[: len(expected)]
        assert [float(scores[n, code]) for code in found] == expected


def test_posterior_weights_ignore_empty_places_and_sum_to_one() -> None:
    log_joints = torch.tensor([[-700.0, -701.0, -torch.inf]], dtype=torch.float64)
    states = LatentStates(all_states(2, 1)[:, :3], log_joints)
    weights = states.posterior_weights()
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[0, 0] / weights[0, 1]) == pytest.approx(torch.e)
    assert float(weights[0, 2]) == 0
    assert float(states.elbo()) == pytest.approx(-700 + torch.tensor(1 + 1 / torch.e).log().item())


@pytest.mark.parametrize(("count", "latents"), [(1, 1), (16, 4), (64, 6), (200, 64), (64, 512)])
def test_initial_states_are_distinct_and_sparsest_first(count: int, latents: int) -> None:
    device = torch.device("cpu")
    ones = sparsest_states(count, latents, device).sum(1)
    assert (ones.diff() >= 0).all()
    states = random_states(count, latents, PatchRandom((0,), torch.arange(50)))
    assert states.shape == (50, count, latents)
    assert not duplicates(states).any()
    assert torch.equal(states.sum(2), ones.expand(50, -1))


def test_initial_states_favour_no_latent() -> None:
    states = random_states(3, 8, PatchRandom((0,), torch.arange(4000)))
    share = states.float().mean((0, 1)) * 3 / 2  # two of the three states have one bit on
    torch.testing.assert_close(share, torch.full((8,), 1 / 8), rtol=0, atol=0.02)


@pytest.mark.parametrize(("latents", "most_active"), [(1, 1), (5, 5), (5, 8), (300, 40)])
def test_lists_hold_the_same_states_as_bits(latents: int, most_active: int) -> None:
    bits = random_sets(7, 6, latents, seed=0) & (torch.arange(latents) < most_active)
    bits[3, 2] = False
    sets = LatentStates(bits, torch.randn(7, 6, generator=torch.Generator().manual_seed(1)))
    lists = SparseStates.of(sets, most_active)
    assert lists.active.shape == (7, 6, most_active)
    assert torch.equal(lists.bits, bits)
    assert torch.equal(lists[2:4].bits, bits[2:4])
    assert torch.equal(lists.best(2).bits, sets.best(2).bits)
    assert torch.equal(lists.best(2).log_joints, sets.best(2).log_joints)
    assert torch.equal(lists.elbo(), sets.elbo())
    assert torch.equal(most_used_states(lists, 4), most_used_states(sets, 4))


def test_lists_can_be_overwritten_by_either_kind() -> None:
    bits = random_sets(2, 3, 4, seed=0)
    new = LatentStates(bits, torch.arange(6.0).reshape(2, 3))
    lists = no_latents_on(3, 4, 4, torch.zeros(5))
    assert not lists.bits.any()
    assert torch.equal(lists.log_joints.isneginf(), torch.tensor([[False, True, True]] * 5))
    for rows, other in ((slice(1, 3), new), (torch.tensor([4, 0]), SparseStates.of(new, 4))):
        lists.write(rows, other)
        assert torch.equal(lists[rows].bits, bits)
        assert torch.equal(lists[rows].log_joints, new.log_joints)


@pytest.mark.parametrize("latents", [1, 8, 13, 64])
def test_packed_states_are_the_same_states(latents: int) -> None:
    bits = random_sets(7, 6, latents, seed=2)
    sets = LatentStates(bits, torch.randn(7, 6, generator=torch.Generator().manual_seed(1)))
    packed = PackedStates.of(sets)
    assert packed.packed.shape == (7, 6, -(-latents // 8))
    assert packed.packed.dtype == torch.uint8
    assert torch.equal(packed.bits, bits)
    assert torch.equal(packed[2:4].bits, bits[2:4])
    assert torch.equal(packed.best(2).bits, sets.best(2).bits)
    assert torch.equal(most_used_states(packed, 4), most_used_states(sets, 4))
    # The first latent in the lowest bit, as numpy packs them with bitorder "little".
    expected = np.packbits(bits.numpy(), axis=-1, bitorder="little")
    assert np.array_equal(packed.packed.numpy(), expected)


def test_packed_states_can_be_overwritten_by_either_kind() -> None:
    bits = random_sets(2, 3, 9, seed=0)
    new = LatentStates(bits, torch.arange(6.0).reshape(2, 3))
    packed = PackedStates.of(
        LatentStates(torch.zeros(5, 3, 9, dtype=torch.bool), torch.zeros(5, 3))
    )
    for rows, other in ((slice(1, 3), new), (torch.tensor([4, 0]), PackedStates.of(new))):
        packed.write(rows, other)
        assert torch.equal(packed[rows].bits, bits)
        assert torch.equal(packed[rows].log_joints, new.log_joints)
