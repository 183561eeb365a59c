"""Random numbers of a patch: uniform, independent, and its own whatever the batch."""

from __future__ import annotations

import numpy as np
import torch

from denoise.vae.randomness import PatchRandom, choose_by_weight


def test_numbers_do_not_depend_on_batch_neighbours() -> None:
    index = torch.arange(100)
    together = PatchRandom((5, 1), index)
    first, second = together.uniform(3, 4), together.gumbel(7)
    for rows in (index[:1], index[90:], index.flip(0)[::3]):
        alone = PatchRandom((5, 1), rows)
        assert torch.equal(alone.uniform(3, 4), first[rows])
        assert torch.equal(alone.gumbel(7), second[rows])


def test_streams_differ_by_key_call_and_patch() -> None:
    index = torch.arange(2000)
    keys = [(0,), (1,), (0, 0), (0, 1), (1, 0)]
    streams = [PatchRandom(key, index).uniform() for key in keys]
    later = PatchRandom((0,), index)
    later.uniform()
    streams += [later.uniform(), later.uniform(2)[:, 1], streams[0].roll(1)]
    correlations = np.corrcoef(torch.stack(streams).numpy())
    off_diagonal = correlations[~np.eye(len(streams), dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / 2000**0.5


def test_numbers_are_uniform_in_the_open_interval() -> None:
    draws = PatchRandom((3,), torch.arange(4000)).uniform(50)
    assert draws.min() > 0
    assert draws.max() < 1
    counts = torch.histc(draws, bins=20, min=0, max=1)
    expected = draws.numel() / 20
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 45  # 19 degrees of freedom: exceeded once in 1500
    by_position = draws.mean(0)
    assert (by_position - 0.5).abs().max() < 5 * (1 / 12 / 4000) ** 0.5


def test_large_patch_numbers_and_negative_seeds_work() -> None:
    draws = PatchRandom((-1, 2**40), torch.arange(2**31 - 5, 2**31 + 5)).uniform(2)
    assert len(draws.unique()) == 20


def test_choice_follows_the_weights_without_replacement() -> None:
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0])
    draws = 40_000
    chosen = choose_by_weight(
        weights.log().expand(draws, -1), 2, PatchRandom((0,), torch.arange(draws))
    )
    first = torch.bincount(chosen[:, 0], minlength=5) / draws
    torch.testing.assert_close(first, weights, rtol=0, atol=4 * (0.25 / draws) ** 0.5)
    assert (chosen[:, 0] != chosen[:, 1]).all()
    # Second place, given the first: weights renormalised over the rest.
    after_last = chosen[chosen[:, 0] == 3, 1]
    second = torch.bincount(after_last, minlength=5) / len(after_last)
    expected = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.0]) / 0.6
    torch.testing.assert_close(second, expected, rtol=0, atol=4 * (0.25 / len(after_last)) ** 0.5)
