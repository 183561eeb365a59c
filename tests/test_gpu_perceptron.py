"""The published decoder's Triton kernels against plain tensors: on a GPU, or in the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from conftest import make_model, make_patches

from denoise.kernels import evolution_gpu as evolution
from denoise.kernels import mlp_gpu as perceptron
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.vae.gradient import gradient
from denoise.vae.model import BinaryVAE
from denoise.vae.randomness import PatchRandom
from denoise.vae.search import improve
from denoise.vae.states import LatentStates, duplicates, random_states
from denoise.vae.stored_states import PackedStates
from denoise.vae.training import train

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Not every version of Triton multiplies float64 matrices on a GPU.
DTYPE = torch.float64 if DEVICE.type == "cpu" else torch.float32
CLOSE = {"rtol": 1e-7, "atol": 1e-7} if DEVICE.type == "cpu" else {"rtol": 1e-4, "atol": 1e-4}
LATENTS, STATES = 11, 6
OPTIONS = SearchOptions(
    states=STATES,
    parents=2,
    children=3,
    generations=2,
    parent_selection="fitness",
    mutation="random",
)

Supports = Callable[[bool], None]


@pytest.fixture
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> Supports:
    """Takes the Triton kernels, on a CPU and for float64 as well, or plain tensors."""

    def choose(wanted: bool) -> None:
        monkeypatch.setattr(perceptron, "supports", lambda model, patches: wanted)

    return choose


def case(
    *, values: int = 9, hidden: int = 20, free_patch_mean: bool = True
) -> tuple[BinaryVAE, Patches, PackedStates]:
    """A model of sizes that are no powers of two, and sets with an empty place."""
    model = make_model(LATENTS, values, hidden=(hidden,), free_patch_mean=free_patch_mean)
    assert model.decoder is not None
    model.decoder.to(DEVICE, DTYPE)
    model.prior_probs = model.prior_probs.to(DEVICE, DTYPE)
    model.noise_variance = model.noise_variance.to(DEVICE, DTYPE)
    raw = make_patches(3, values)
    patches = Patches(raw.values.to(DEVICE, DTYPE), None, raw.index.to(DEVICE))
    states = random_states(STATES, LATENTS, PatchRandom((0,), patches.index))
    model.calibrate_flips(states[:, 2])
    scores = torch.zeros(len(patches), STATES, dtype=DTYPE, device=DEVICE)
    scores[:, -1] = -torch.inf
    return model, patches, PackedStates.of(LatentStates(states, scores))


def search(
    case: tuple[BinaryVAE, Patches, PackedStates], options: SearchOptions, *, steps: int = 2
) -> LatentStates:
    with torch.no_grad():
        found = improve(*case, options, key=(7, 1), steps=steps)
    return LatentStates(found.states, found.log_joints)


@pytest.mark.parametrize(
    ("mutation", "parent_selection", "values", "hidden", "free_patch_mean"),
    [
        ("random", "fitness", 18, 40, False),  # the published way
        ("random", "best", 9, 20, True),
        ("guided", "best", 9, 20, True),  # what the presets do with this decoder
        ("guided", "uniform", 18, 40, False),
    ],
)
def test_search_finds_the_states_of_its_twin(
    with_kernels: Supports,
    mutation: str,
    parent_selection: str,
    values: int,
    hidden: int,
    free_patch_mean: bool,
) -> None:
    options = replace(OPTIONS, mutation=mutation, parent_selection=parent_selection)
    given = case(values=values, hidden=hidden, free_patch_mean=free_patch_mean)
    with_kernels(False)
    twin = search(given, options)
    with_kernels(True)
    found = search(given, options)
    torch.testing.assert_close(found.log_joints, twin.log_joints, **CLOSE)
    assert torch.equal(found.states, twin.states)
    assert not duplicates(found.states).any()
    assert not torch.equal(found.states, given[2].states)


@pytest.mark.parametrize(
    ("parents", "children", "generations", "steps"), [(6, 11, 1, 1), (1, 1, 3, 1), (4, 16, 1, 3)]
)
def test_so_it_does_for_few_and_many_children(
    with_kernels: Supports, parents: int, children: int, generations: int, steps: int
) -> None:
    """Also more children than there are bits, and more parents than there were children."""
    options = replace(OPTIONS, parents=parents, children=children, generations=generations)
    with_kernels(False)
    twin = search(case(), options, steps=steps)
    with_kernels(True)
    found = search(case(), options, steps=steps)
    torch.testing.assert_close(found.log_joints, twin.log_joints, **CLOSE)
    assert torch.equal(found.states, twin.states)


def test_the_elbo_of_no_patch_falls(with_kernels: Supports) -> None:
    model, patches, start = case()
    with_kernels(True)
    before = model.log_joints(patches, start.states[:, :-1]).logsumexp(1)
    after = search((model, patches, start), OPTIONS).elbo()
    assert (after >= before).all()
    assert (after > before).any()


def test_a_patch_does_not_depend_on_its_neighbours(with_kernels: Supports) -> None:
    model, patches, start = case()
    with_kernels(True)
    together = search((model, patches, start), OPTIONS)
    alone = search((model, patches[1:], start[1:]), OPTIONS)
    assert torch.equal(together[1:].log_joints, alone.log_joints)
    assert torch.equal(together[1:].states, alone.states)


def test_the_start_is_left_as_it_was(with_kernels: Supports) -> None:
    given = case()
    with_kernels(True)
    search(given, OPTIONS)
    again = case()[2]
    assert torch.equal(given[2].packed, again.packed)
    assert torch.equal(given[2].log_joints, again.log_joints)


@pytest.mark.parametrize(("values", "hidden", "free_patch_mean"), [(9, 20, True), (18, 40, False)])
def test_gradient_equals_its_twin(
    with_kernels: Supports, values: int, hidden: int, free_patch_mean: bool
) -> None:
    model, patches, start = case(values=values, hidden=hidden, free_patch_mean=free_patch_mean)
    with_kernels(False)
    states = PackedStates.of(search((model, patches, start), OPTIONS))
    twin, twin_sums = gradient(model, patches, states)
    with_kernels(True)
    slopes, sums = gradient(model, patches, states)
    for one, other in zip(slopes, twin, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)
    for name in ("elbo", "squared_error", "latents"):
        torch.testing.assert_close(getattr(sums, name), getattr(twin_sums, name), **CLOSE)


def test_training_with_the_kernels_gives_the_elbo_of_its_twin(with_kernels: Supports) -> None:
    def elbos() -> list[float]:
        model, patches, start = case()
        stats = train(
            model,
            patches,
            start,
            search=OPTIONS,
            training=TrainingOptions(epochs=3, batch_size=2),
            learn_noise_variance=True,
            seed=0,
        )
        return [one.elbo for one in stats]

    with_kernels(False)
    plain = elbos()
    with_kernels(True)
    assert elbos() == pytest.approx(plain, rel=CLOSE["rtol"])


def test_other_ways_to_breed_take_plain_tensors() -> None:
    assert evolution.supports(OPTIONS)
    for other in ({"mutation": "sparse"}, {"crossover": True}, {"children": 17}, {"states": 2040}):
        assert not evolution.supports(replace(OPTIONS, **other))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_run_on_a_gpu_takes_the_kernels_and_gives_the_same_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numpy as np
    from conftest import step_image

    from denoise import denoise_image, preset
    from denoise.metrics import psnr

    clean = step_image(48, 48)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    options = replace(preset("fast", decoder="mlp"), refinement=None)
    with monkeypatch.context() as patch:
        patch.setattr(perceptron, "supports", lambda model, patches: False)
        plain = denoise_image(noisy, 25, options=options, device="cuda")
    launched: list[int] = []
    evolve_once = evolution.improve
    monkeypatch.setattr(
        evolution, "improve", lambda *a, **k: (launched.append(1), evolve_once(*a, **k))[1]
    )
    fast = denoise_image(noisy, 25, options=options, device="cuda")
    assert launched
    # Rounding changes which flips are drawn, so the two are two runs of the same method.
    assert abs(psnr(clean, fast.image) - psnr(clean, plain.image)) < 0.2
    assert fast.elbo_history[-1] == pytest.approx(plain.elbo_history[-1], rel=1e-2)
