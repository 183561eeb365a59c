"""Learning: the ELBO rises, schedules are what they are called, results are reproducible."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY

from denoise.errors import TrainingError
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.closed_form import ClosedFormLearner
from denoise.vae.gradient import GradientLearner
from denoise.vae.mlp import MLP
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.randomness import PatchRandom
from denoise.vae.states import LatentStates, random_states
from denoise.vae.stored_states import PackedStates, no_latents_on
from denoise.vae.training import EpochStats, train

LATENTS, VALUES, COUNT, SIGMA = 6, 16, 1500, 0.3


def synthetic_patches() -> Patches:
    """Draws from a linear model with six known directions and pi = 0.2."""
    generator = torch.Generator().manual_seed(0)
    directions = 2 * torch.randn(LATENTS, VALUES, generator=generator)
    latents = (torch.rand(COUNT, LATENTS, generator=generator) < 0.2).float()
    noise = SIGMA * torch.randn(COUNT, VALUES, generator=generator)
    return Patches.from_raw(latents @ directions + noise, torch.arange(COUNT))


STEADY = TrainingOptions(batch_size=100, initial_noise=1.0, annealing=0.0, prior_hold=0.0)


def fit(
    patches: Patches, training: TrainingOptions, *, sigma: float = SIGMA, learn: bool = False
) -> tuple[MLPVAE, list[EpochStats]]:
    generator = torch.Generator().manual_seed(1)
    model = MLPVAE(
        MLP((LATENTS, 24, VALUES), leak=0.01, generator=generator),
        prior_probs=torch.full((LATENTS,), 0.3),
        noise_variance=torch.tensor(sigma**2),
    )
    states = random_states(6, LATENTS, PatchRandom((0,), patches.index))
    search = replace(TINY.search, states=6)
    sets = PackedStates.of(LatentStates(states, torch.zeros(len(patches), 6)))
    history = list(
        train(
            model,
            GradientLearner(model, training, patch_count=len(patches)),
            patches,
            sets,
            search=search,
            training=training,
            learn_noise_variance=learn,
            seed=0,
        )
    )
    return model, history


LONG = TrainingOptions(
    epochs=40, batch_size=50, learning_rate=(1e-3, 2e-2), initial_noise=30.0, annealing=0.5
)


def test_learns_the_noise_and_the_prior_of_data_drawn_from_the_model() -> None:
    model, history = fit(synthetic_patches(), LONG, sigma=0.5, learn=True)
    assert float(model.noise_variance) ** 0.5 == pytest.approx(SIGMA, rel=0.1)
    # A latent and its complement explain the data equally well.
    rarer = torch.minimum(model.prior_probs, 1 - model.prior_probs)
    assert float(rarer.mean()) == pytest.approx(0.2, abs=0.03)
    assert history[-1].elbo > history[0].elbo + 10


@pytest.mark.parametrize("learn", [False, True])
def test_noise_variance_ends_at_the_given_or_learned_value(learn: bool) -> None:
    training = replace(STEADY, epochs=10, initial_noise=9.0, annealing=0.5)
    model, history = fit(synthetic_patches(), training, learn=learn)
    expected = history[-1].residual_variance if learn else SIGMA**2
    assert float(model.noise_variance) == pytest.approx(expected, rel=1e-5)


def test_prior_is_held_for_its_share_of_the_epochs() -> None:
    held = replace(STEADY, epochs=4, prior_hold=1.0)
    model, _ = fit(synthetic_patches(), held)
    torch.testing.assert_close(model.prior_probs, torch.full((LATENTS,), 0.3))
    model, history = fit(synthetic_patches(), replace(held, prior_hold=0.5))
    assert float(model.prior_probs.sum()) == pytest.approx(history[-1].active_latents, rel=1e-3)


@pytest.mark.parametrize("schedule", ["one-cycle", "cyclic"])
def test_same_seed_same_model(schedule: str) -> None:
    training = replace(STEADY, epochs=3, schedule=schedule, half_cycle=1)  # type: ignore[arg-type]
    first, second = (fit(synthetic_patches(), training) for _ in range(2))
    assert first[1] == second[1]
    for one, other in zip(first[0].mlp.parameters(), second[0].mlp.parameters(), strict=True):
        assert torch.equal(one, other)


def test_divergence_is_an_error_not_a_picture() -> None:
    training = replace(STEADY, epochs=5, learning_rate=(1e30, 1e38))
    with pytest.raises(TrainingError, match="ELBO became"):
        fit(synthetic_patches(), training)


@pytest.mark.parametrize("missing", [False, True])
def test_amplitudes_and_noise_of_data_drawn_from_the_model_are_found(missing: bool) -> None:
    """Four directions with Gaussian amplitudes, found by latents that start as patches."""
    generator = torch.Generator().manual_seed(3)
    directions = 3 * torch.randn(4, VALUES, generator=generator)
    latents = (torch.rand(3000, 4, generator=generator) < 0.12).float()
    drawn = latents * torch.randn(3000, 4, generator=generator)
    values = drawn @ directions + SIGMA * torch.randn(3000, VALUES, generator=generator)
    if missing:
        values[torch.rand(values.shape, generator=generator) < 0.15] = torch.nan
    patches = Patches.from_raw(values, torch.arange(3000))
    model = AmplitudeVAE(
        patches.values[:16].clone(),
        prior_probs=torch.full((16,), 0.05),
        noise_variance=torch.tensor(SIGMA**2),
        max_active=4,
    )
    training = TrainingOptions(epochs=25, batch_size=500, annealing=0.4)
    history = list(
        train(
            model,
            ClosedFormLearner(model, memory=training.memory * len(patches)),
            patches,
            no_latents_on(8, 16, 8, patches.values),
            search=SearchOptions(states=8, parents=3),
            training=training,
            learn_noise_variance=True,
            seed=0,
        )
    )
    for direction in directions:
        cosines = torch.cosine_similarity(model.vectors, direction[None])
        assert float(cosines.abs().max()) > 0.95
    assert float(model.noise_variance) ** 0.5 == pytest.approx(SIGMA, rel=0.1)
    assert history[-1].active_latents == pytest.approx(0.5, abs=0.2)
