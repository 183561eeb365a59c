"""Steps up the ELBO: torch's own schedules and optimizer as judges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import make_mlp_vae, make_patches
from torch.optim import Adam
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from denoise.options import TrainingOptions
from denoise.vae.gradient import GradientLearner, _Adam, gradient, learning_rate
from denoise.vae.mlp import MLP
from denoise.vae.randomness import PatchRandom
from denoise.vae.states import LatentStates, random_states


def torch_schedule(optimizer: Adam, training: TrainingOptions, steps: int) -> LRScheduler:
    lowest, highest = training.learning_rate
    if training.schedule == "cyclic":
        half = training.half_cycle * steps
        return CyclicLR(optimizer, lowest, highest, step_size_up=half, cycle_momentum=False)
    return OneCycleLR(
        optimizer,
        highest,
        total_steps=steps * training.epochs + 1,
        div_factor=highest / lowest,
        final_div_factor=1,
        cycle_momentum=False,
    )


@pytest.mark.parametrize("schedule", ["cyclic", "one-cycle"])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (5, 1), (7, 13), (30, 4)])
def test_rates_are_those_of_torch(schedule: str, epochs: int, steps: int) -> None:
    training = TrainingOptions(epochs=epochs, half_cycle=3, schedule=schedule)  # type: ignore[arg-type]
    optimizer = Adam([torch.zeros(1)], lr=training.learning_rate[1])
    scheduler = torch_schedule(optimizer, training, steps)
    for step in range(epochs * steps):
        rate = learning_rate(training, step, steps_per_epoch=steps)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_steps_are_those_of_torch() -> None:
    training = TrainingOptions(epochs=3, learning_rate=(1e-3, 3e-2))
    ours, twin = make_mlp_vae(hidden=(5,)), make_mlp_vae(hidden=(5,))
    patches = make_patches()
    states = random_states(3, 4, PatchRandom((0,), patches.index))
    learner = GradientLearner(ours, replace(training, batch_size=2), patch_count=8)
    optimizer = Adam(twin.mlp.parameters(), lr=training.learning_rate[1])
    scheduler = torch_schedule(optimizer, training, 4)
    for _ in range(12):
        found = (
            LatentStates(states, model.log_joints(patches, states).detach())
            for model in (ours, twin)
        )
        learner.learn(patches, next(found))
        gradients, _ = gradient(twin, patches, next(found))
        for parameter, one in zip(twin.mlp.parameters(), gradients, strict=True):
            parameter.grad = one / len(patches)
        optimizer.step()
        scheduler.step()
    for one, other in zip(ours.mlp.parameters(), twin.mlp.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    changed = make_mlp_vae(hidden=(5,)).mlp
    assert not torch.allclose(changed.layers[0].weight, ours.mlp.layers[0].weight)


def test_gradients_may_lie_in_memory_as_they_like() -> None:
    weights, gradient = torch.zeros(2, 3).T, torch.tensor([[1.0, 0.0], [2.0, 3.0], [4.0, 5.0]])
    assert gradient.stride() != weights.stride()
    _Adam([weights], [0.5]).step((gradient,))
    torch.testing.assert_close(weights, torch.tensor([[-0.5, 0], [-0.5, -0.5], [-0.5, -0.5]]))


def test_weights_lie_as_the_kernels_of_a_gpu_read_them() -> None:
    """And stay so: a copy for each batch would take longer than the batch."""
    decoder = MLP((4, 5, 6), leak=0.1, generator=torch.Generator().manual_seed(0))
    decoder = decoder.to(torch.float64).to("cpu")
    for layer in decoder.layers[::2]:
        assert layer.weight.T.is_contiguous()
