"""The Triton kernels of the MLP model against plain tensors: on a GPU, or in the interpreter."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from conftest import make_mlp_vae, make_patches

from denoise.kernels import launching
from denoise.kernels.choice import use
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.vae.gradient import GradientLearner, gradient
from denoise.vae.mlp_vae import MLPVAE
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


def case(
    *, values: int = 9, hidden: int = 20, free_patch_mean: bool = True
) -> tuple[MLPVAE, Patches, PackedStates]:
    """A model of sizes that are no powers of two, and sets with an empty place."""
    model = make_mlp_vae(LATENTS, values, hidden=(hidden,), free_patch_mean=free_patch_mean)
    model.mlp.to(DEVICE, DTYPE)
    model.prior_probs = model.prior_probs.to(DEVICE, DTYPE)
    model.noise_variance = model.noise_variance.to(DEVICE, DTYPE)
    raw = make_patches(3, values)
    patches = Patches(raw.values.to(DEVICE, DTYPE), None, raw.index.to(DEVICE))
    states = random_states(STATES, LATENTS, PatchRandom((0,), patches.index))
    model.calibrate(states[:, 2])
    scores = torch.zeros(len(patches), STATES, dtype=DTYPE, device=DEVICE)
    scores[:, -1] = -torch.inf
    return model, patches, PackedStates.of(LatentStates(states, scores))


def search(
    case: tuple[MLPVAE, Patches, PackedStates], options: SearchOptions, *, steps: int = 1
) -> LatentStates:
    with torch.no_grad():
        found = improve(*case, options, key=(7, 1), steps=steps)
    return LatentStates(found.bits, found.log_joints)


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
    mutation: str,
    parent_selection: str,
    values: int,
    hidden: int,
    free_patch_mean: bool,
) -> None:
    options = replace(OPTIONS, mutation=mutation, parent_selection=parent_selection)
    given = case(values=values, hidden=hidden, free_patch_mean=free_patch_mean)
    with use("plain"):
        twin = search(given, options)
    with use("triton"):
        found = search(given, options)
    torch.testing.assert_close(found.log_joints, twin.log_joints, **CLOSE)
    assert torch.equal(found.bits, twin.bits)
    assert not duplicates(found.bits).any()
    assert not torch.equal(found.bits, given[2].bits)


@pytest.mark.parametrize(
    ("parents", "children", "generations", "steps"), [(6, 11, 1, 1), (1, 1, 3, 1), (4, 16, 1, 2)]
)
def test_so_it_does_for_few_and_many_children(
    parents: int, children: int, generations: int, steps: int
) -> None:
    """Also more children than there are bits, and more parents than there were children."""
    options = replace(OPTIONS, parents=parents, children=children, generations=generations)
    with use("plain"):
        twin = search(case(), options, steps=steps)
    with use("triton"):
        found = search(case(), options, steps=steps)
    torch.testing.assert_close(found.log_joints, twin.log_joints, **CLOSE)
    assert torch.equal(found.bits, twin.bits)


def test_the_elbo_of_no_patch_falls() -> None:
    model, patches, start = case()
    before = model.log_joints(patches, start.bits[:, :-1]).logsumexp(1)
    with use("triton"):
        after = search((model, patches, start), OPTIONS).elbo()
    assert (after >= before).all()
    assert (after > before).any()


def test_a_patch_does_not_depend_on_its_neighbours() -> None:
    model, patches, start = case()
    with use("triton"):
        together = search((model, patches, start), OPTIONS)
        alone = search((model, patches[1:], start[1:]), OPTIONS)
    assert torch.equal(together[1:].log_joints, alone.log_joints)
    assert torch.equal(together[1:].bits, alone.bits)


def test_the_start_is_left_as_it_was() -> None:
    given = case()
    with use("triton"):
        search(given, OPTIONS)
    again = case()[2]
    assert torch.equal(given[2].packed, again.packed)
    assert torch.equal(given[2].log_joints, again.log_joints)


@pytest.mark.parametrize(("values", "hidden", "free_patch_mean"), [(9, 20, True), (18, 40, False)])
def test_gradient_equals_its_twin(values: int, hidden: int, free_patch_mean: bool) -> None:
    model, patches, start = case(values=values, hidden=hidden, free_patch_mean=free_patch_mean)
    with use("plain"):
        states = PackedStates.of(search((model, patches, start), OPTIONS))
        twin, twin_sums = gradient(model, patches, states)
    with use("triton"):
        found, sums = gradient(model, patches, states)
    for one, other in zip(found, twin, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)
    for name in ("elbo", "squared_error", "latents"):
        torch.testing.assert_close(getattr(sums, name), getattr(twin_sums, name), **CLOSE)


def test_training_with_the_kernels_gives_the_elbo_of_its_twin() -> None:
    def elbos() -> list[float]:
        model, patches, start = case()
        training = TrainingOptions(epochs=2, batch_size=2)
        stats = train(
            model,
            GradientLearner(model, training, patch_count=len(patches)),
            patches,
            start,
            search=OPTIONS,
            training=training,
            learn_noise_variance=True,
            seed=0,
        )
        return [one.elbo for one in stats]

    with use("plain"):
        plain = elbos()
    with use("triton"):
        assert elbos() == pytest.approx(plain, rel=CLOSE["rtol"])


def test_other_ways_to_breed_take_plain_tensors() -> None:
    model, patches, start = case()

    def is_compiled(options: SearchOptions) -> bool:
        found = model.compiled_search(patches, start, options, key=(0,), steps=1)
        return found is not None

    with use("triton"):
        assert is_compiled(OPTIONS)
        for other in (
            {"mutation": "sparse"},
            {"crossover": True},
            {"children": 17},
            {"states": 2040},
        ):
            assert not is_compiled(replace(OPTIONS, **other))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_run_on_a_gpu_takes_the_kernels_and_gives_the_same_image() -> None:
    import numpy as np
    from conftest import step_image

    from denoise import denoise_image, preset
    from denoise.metrics import psnr

    clean = step_image(48, 48)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    options = replace(preset("fast", decoder="mlp"), refinement=None)
    with use("plain"):
        plain = denoise_image(noisy, 25, options=options, device="cuda")
    launched: list[str] = []
    launch = launching.current_launcher()

    def count(kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
        launched.append(kernel.fn.__name__)
        launch(kernel, grid, arguments)

    with launching.launches_handed_to(count):
        fast = denoise_image(noisy, 25, options=options, device="cuda")
    assert {"score", "breed", "drop_repeats", "keep_best", "back_propagate"} <= set(launched)
    # Rounding changes which flips are drawn, so the two are two runs of the same method.
    assert abs(psnr(clean, fast.image) - psnr(clean, plain.image)) < 0.2
    assert fast.elbo_history[-1] == pytest.approx(plain.elbo_history[-1], rel=1e-2)
