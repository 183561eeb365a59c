"""The amplitude model's Triton kernels against plain tensors: on a GPU, or in the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_amplitude_vae, make_patches, run_cli
from torch import Tensor

from denoise.devices import device_note
from denoise.kernels import launching
from denoise.kernels.choice import use
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.best_first import explore, extent_of
from denoise.vae.closed_form import ClosedFormLearner, amplitude_sums
from denoise.vae.states import LatentStates
from denoise.vae.stored_states import SparseStates, no_latents_on
from denoise.vae.training import train

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PATCHES, LATENTS, STATES, MOST_ACTIVE = 4, 11, 5, 3
FAR = SearchOptions(STATES, 4, 3, reach=1e9)


@pytest.fixture(autouse=True)
def _kernels() -> Iterator[None]:
    """Take the Triton kernels, on a CPU and for float64 as well."""
    with use("triton"):
        yield


def case(
    *, noise: float = 0.7, states: int = STATES, count: int = PATCHES
) -> tuple[AmplitudeVAE, Patches, SparseStates]:
    """A float64 model of sizes that are no powers of two, and empty sets."""
    model = make_amplitude_vae(LATENTS, 9, free_patch_mean=True)
    vectors = model.vectors - model.vectors.mean(1, keepdim=True)  # as they are learned
    model.vectors = vectors.to(DEVICE)
    model.max_active = MOST_ACTIVE
    model.prior_probs = model.prior_probs.to(DEVICE)
    model.noise_variance = torch.tensor(noise, dtype=torch.float64, device=DEVICE)
    raw = make_patches(count, 9)
    patches = Patches(raw.values.to(DEVICE), None, raw.index.to(DEVICE))
    return model, patches, no_latents_on(states, LATENTS, MOST_ACTIVE, patches.values)


def search(
    model: AmplitudeVAE, patches: Patches, sets: SparseStates, options: SearchOptions = FAR
) -> SparseStates:
    """By the kernel."""
    found = model.compiled_search(patches, sets, options, key=(0,), steps=1)
    assert found is not None
    return found


def twin_search(
    model: AmplitudeVAE,
    patches: Patches,
    sets: LatentStates | SparseStates,
    options: SearchOptions = FAR,
) -> LatentStates:
    """By plain tensors."""
    return explore(model, patches, model.scored(patches, sets), extent_of(options, 1))


def same_sets(one: LatentStates | SparseStates, other: LatentStates | SparseStates) -> bool:
    """Whether the same states are in the same places; what lies in empty ones does not matter."""
    there = ~one.log_joints.isneginf()
    return bool((one.bits == other.bits)[there].all())


@pytest.mark.parametrize(
    ("states", "expansions", "children"), [(STATES, 4, 3), (8, 1, 2), (1, 2, 1), (6, 2, 20)]
)
def test_search_finds_the_states_of_its_twin(states: int, expansions: int, children: int) -> None:
    """Twice: from nothing, then under other parameters; some places stay empty in the second."""
    model, patches, start = case(states=states, count=2)
    options = SearchOptions(states, expansions, children, reach=1e9)
    twin = twin_search(model, patches, start, options)
    found = search(model, patches, start, options)
    torch.testing.assert_close(found.log_joints, twin.log_joints)
    assert same_sets(twin, found)
    assert int(found.bits.sum(-1).max()) <= MOST_ACTIVE
    model.prior_probs = 1 - model.prior_probs
    model.noise_variance = 2 * model.noise_variance
    twin = twin_search(model, patches, SparseStates.of(twin, MOST_ACTIVE), options)
    found = search(model, patches, found, options)
    torch.testing.assert_close(found.log_joints, twin.log_joints)
    assert same_sets(twin, found)
    filled = ~found.log_joints.isneginf()
    assert torch.equal(filled, filled.sort(1, descending=True).values)  # empty places come last


def test_states_out_of_reach_are_not_expanded_either() -> None:
    model, patches, start = case()
    near = replace(FAR, reach=0.5)
    twin = twin_search(model, patches, start, near)
    found = search(model, patches, start, near)
    torch.testing.assert_close(found.log_joints, twin.log_joints)
    assert same_sets(twin, found)
    assert not torch.equal(found.active, search(model, patches, start).active)


def test_a_patch_does_not_depend_on_its_neighbours() -> None:
    model, patches, start = case(count=3)
    together = search(model, patches, start)
    alone = search(model, patches[1:2], start[1:2])
    # The projections are a matrix product of torch, whose rounding depends on the number of rows.
    torch.testing.assert_close(together[1:2].log_joints, alone.log_joints, rtol=1e-12, atol=1e-12)
    assert torch.equal(together[1:2].active, alone.active)


def test_the_start_is_left_as_it_was() -> None:
    model, patches, start = case(count=1)
    search(model, patches, start)
    assert not start.bits.any()
    assert start.log_joints[:, 1:].isneginf().all()


@pytest.mark.parametrize("noise", [30.0, 0.7, 0.1])
def test_sums_equal_their_twin(noise: float) -> None:
    """Under strong noise all states are likely; under weak noise many are left out."""
    model, patches, start = case(noise=noise, states=8, count=6)
    options = SearchOptions(8, 2, 3, reach=1e9)
    states = SparseStates.of(twin_search(model, patches, start, options), MOST_ACTIVE)
    weights = states.posterior_weights()
    kept = weights >= 1e-3 * weights.max(1, keepdim=True).values
    assert bool(kept[~states.log_joints.isneginf()].all()) == (noise == 30.0)
    fast, fast_errors = amplitude_sums(model, patches, states)
    fast_mean = model.posterior_mean(patches, states)
    likely = SparseStates(
        states.active, states.log_joints.masked_fill(~kept, -torch.inf), states.latents
    )
    with use("plain"):
        twin, errors = amplitude_sums(model, patches, likely)
        mean = model.posterior_mean(patches, likely)
    for name in ("latents", "products", "cross"):
        torch.testing.assert_close(getattr(fast, name), getattr(twin, name), rtol=0, atol=2e-5)
    torch.testing.assert_close(fast_errors, errors, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast_mean, mean, rtol=0, atol=2e-5)


def test_sums_are_the_same_in_every_order() -> None:
    model, patches, start = case()
    states = SparseStates.of(twin_search(model, patches, start), MOST_ACTIVE)
    order = torch.tensor([2, 0, 3, 1], device=DEVICE)

    def sums(rows: Tensor) -> tuple[Tensor, ...]:
        found = model.compiled_sums(patches[rows], states[rows])
        assert found is not None
        return found

    for one, other in zip(sums(order.sort().values)[:2], sums(order)[:2], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("more", [["--first"], pytest.param([], marks=pytest.mark.slow)])
def test_kernels_compile_for_a_gpu_that_need_not_be_there(more: list[str]) -> None:
    """The interpreter takes more than the compiler does."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1] / "docs" / "experiments")
    command = [sys.executable, "-W", "error", "-m", "gpu_kernels", *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    kernels = {row[0].strip() for row in rows}
    assert len(kernels) == 10, done.stderr
    for _, _, _, registers, stack, shared in rows:
        assert 16 < int(registers) <= 255
        assert int(stack) < 256
        assert int(shared) <= 64 * 1024  # what small GPUs have


def test_training_with_the_kernels_gives_the_elbo_of_its_twin() -> None:
    def elbos() -> list[float]:
        model, patches, start = case()
        settings = TrainingOptions(epochs=2, batch_size=2, prior_hold=0.5)
        stats = train(
            model,
            ClosedFormLearner(model, memory=settings.memory * len(patches)),
            patches,
            start,
            search=SearchOptions(states=STATES, parents=2, children=3),
            training=settings,
            learn_noise_variance=False,
            seed=0,
        )
        return [one.elbo for one in stats]

    fast = elbos()
    with use("plain"):
        assert fast == pytest.approx(elbos(), rel=1e-4)


def test_a_triton_that_cannot_launch_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launching.works_on(DEVICE)

    class NoCompiler:
        def __getitem__(self, grid: object) -> None:
            raise RuntimeError("Failed to find C compiler")

    launching.works_on.cache_clear()
    monkeypatch.setattr("denoise.kernels.amplitude_triton.probe", NoCompiler())
    assert not launching.works_on(DEVICE)
    launching.works_on.cache_clear()


def test_a_missing_triton_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr("denoise.devices.works_on", lambda device: True)
    assert device_note(gpu) is None
    monkeypatch.setattr("denoise.devices.works_on", lambda device: False)
    assert device_note(torch.device("cpu")) is None
    monkeypatch.setattr("denoise.devices.pick_device", lambda name: gpu)
    code, _, stderr = run_cli("a.png", "b.png", "--sigma", "20")
    assert code == 1
    assert stderr.count("note: Triton is missing or does not work") == 1
    _, _, stderr = run_cli("a.png", "--sigma", "20", "--quiet")
    assert "Triton" not in stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_run_on_a_gpu_takes_the_kernels_and_gives_the_same_image() -> None:
    import numpy as np
    from conftest import step_image

    from denoise import denoise_image, preset
    from denoise.metrics import psnr

    clean = step_image(64, 64)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    options = replace(preset("fast"), refinement=None)
    launched: list[str] = []
    launch = launching.current_launcher()

    def count(kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
        launched.append(kernel.fn.__name__)
        launch(kernel, grid, arguments)

    with use(None), launching.launches_handed_to(count):
        fast = denoise_image(noisy, 25, options=options, device="cuda")
    assert {"explore", "accumulate", "merge"} <= set(launched)
    with use("plain"):
        plain = denoise_image(noisy, 25, options=options, device="cuda")
    assert abs(psnr(clean, fast.image) - psnr(clean, plain.image)) < 0.02
    assert fast.elbo_history[-1] == pytest.approx(plain.elbo_history[-1], rel=1e-3)
