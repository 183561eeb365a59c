"""The compiled loops of the amplitude model against their twins."""

from __future__ import annotations

import math

import pytest
import torch
from test_amplitudes import FREE_MEANS, MISSING

from denoise.kernels.amplitude import Extent
from denoise.kernels.choice import use
from denoise.options import SearchOptions
from denoise.patches import Patches
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.best_first import explore
from denoise.vae.closed_form import amplitude_sums
from denoise.vae.stored_states import SparseStates, no_latents_on


def float32_case(
    *, missing: bool = False, free_patch_mean: bool = True
) -> tuple[AmplitudeVAE, Patches, SparseStates]:
    """Patches drawn from a model of 21 latents; some have missing values, all of them, or none."""
    generator = torch.Generator().manual_seed(4)
    vectors = 3 * torch.randn(21, 16, generator=generator)
    vectors -= vectors.mean(1, keepdim=True)
    values = torch.randn(700, 16, generator=generator)
    values += (torch.rand(700, 21, generator=generator) < 0.1).float() @ vectors
    model = AmplitudeVAE(
        vectors,
        torch.full((21,), 0.1),
        torch.tensor(1.3),
        free_patch_mean=free_patch_mean,
        max_active=5,
    )
    if missing:
        shares = torch.linspace(-0.2, 0.9, 700)[:, None]
        values[torch.rand(700, 16, generator=generator) < shares] = torch.nan
        values[-1] = torch.nan
    patches = Patches.from_raw(values, torch.arange(700))
    return model, patches, no_latents_on(6, 21, 5, values)


def compiled(
    model: AmplitudeVAE, patches: Patches, sets: SparseStates, options: SearchOptions
) -> SparseStates:
    """The search by loops."""
    found = model.compiled_search(patches, sets, options, key=(0,), steps=1)
    assert found is not None
    return found


@FREE_MEANS
@MISSING
@pytest.mark.parametrize("reach", [1e9, 3.0])
def test_compiled_search_gives_the_same_numbers_as_its_twin(
    reach: float, missing: bool, free_patch_mean: bool
) -> None:
    model, patches, start = float32_case(missing=missing, free_patch_mean=free_patch_mean)
    sets = model.scored(patches, start)
    twin = explore(model, patches, sets, Extent(7, 4, reach))
    fast = compiled(model, patches, start, SearchOptions(6, 7, 4, reach=reach))
    torch.testing.assert_close(fast.log_joints, twin.log_joints, rtol=1e-4, atol=1e-3)
    # Two states that are equally likely to rounding may change places, as do all with one flip
    # where a patch says nothing.
    there = ~twin.log_joints.isneginf() & (patches.observed_counts[:, None] > 1)
    assert (fast.bits == twin.bits).all(2)[there].float().mean() > 0.995
    assert int(fast.bits.sum(-1).max()) <= 5
    again = model.scored(patches, fast)
    torch.testing.assert_close(again.log_joints, fast.log_joints, rtol=1e-4, atol=1e-3)


@FREE_MEANS
@MISSING
def test_compiled_sums_equal_their_twin(missing: bool, free_patch_mean: bool) -> None:
    model, patches, start = float32_case(missing=missing, free_patch_mean=free_patch_mean)
    states = compiled(model, patches, start, SearchOptions(6, 7, 4, reach=1e9))
    fast, fast_errors = amplitude_sums(model, patches, states)
    fast_mean = model.posterior_mean(patches, states)
    with use("plain"):
        twin, errors = amplitude_sums(model, patches, states)
        mean = model.posterior_mean(patches, states)
    # The kernel leaves out states that carry less than a thousandth of the posterior.
    for name in ("latents", "products", "cross"):
        one, other = getattr(fast, name), getattr(twin, name)
        assert float((one - other).norm() / other.norm()) < 2e-3
    torch.testing.assert_close(fast_errors, errors, rtol=1e-2, atol=0)
    assert 0 < float((fast_mean - mean).abs().max()) < 0.05


@FREE_MEANS
@MISSING
def test_compiled_variances_equal_their_twin(missing: bool, free_patch_mean: bool) -> None:
    model, patches, start = float32_case(missing=missing, free_patch_mean=free_patch_mean)
    states = compiled(model, patches, start, SearchOptions(6, 7, 4, reach=1e9))
    fast = model.posterior_variance(patches, states)
    with use("plain"):
        twin = model.posterior_variance(patches, states)
    # Both leave out unlikely states, but not the same ones.
    assert float((fast - twin).norm() / twin.norm()) < 5e-3
    best = states[:]
    likeliest = best.log_joints == best.log_joints.max(1, keepdim=True).values
    best.log_joints[~likeliest] = -torch.inf
    fast = model.posterior_variance(patches, best)
    with use("plain"):
        torch.testing.assert_close(
            fast, model.posterior_variance(patches, best), rtol=1e-4, atol=1e-5
        )


def test_states_out_of_reach_are_not_expanded() -> None:
    model, patches, start = float32_case()
    sets = model.scored(patches, start)
    wide, narrow, none = (
        explore(model, patches, sets, Extent(7, 4, reach)).elbo() for reach in (math.inf, 3.0, 0.0)
    )
    assert bool((wide >= narrow - 1e-4).all())
    assert float(wide.mean()) > float(narrow.mean()) > float(none.mean())
    # Out of reach of all but the likeliest, a climb goes on from the best state each time.
    climbed = sets
    for _ in range(7):
        climbed = explore(model, patches, climbed, Extent(1, 4))
    torch.testing.assert_close(none, climbed.elbo())
