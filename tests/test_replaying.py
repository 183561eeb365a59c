"""Replayed batches: the same results as batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from conftest import make_mlp_vae, make_patches
from simulated_graphs import SimulatedRecorder

from denoise.kernels.choice import use
from denoise.kernels.replaying import Recorder, Replayed, recorder_on, replayed
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.vae.gradient import GradientLearner
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.randomness import PatchRandom
from denoise.vae.states import LatentStates, random_states
from denoise.vae.stored_states import PackedStates
from denoise.vae.training import train

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SEARCH = SearchOptions(
    states=4, parents=1, children=2, generations=2, parent_selection="fitness", mutation="random"
)
TRAINING = TrainingOptions(epochs=3, batch_size=2, annealing=0.0)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> SimulatedRecorder:
    return SimulatedRecorder(monkeypatch)


def test_a_recording_is_replayed_for_batches_of_its_size(recorder: SimulatedRecorder) -> None:
    data = torch.arange(20.0)
    total = torch.zeros(())
    calls: list[int] = []

    def work(rows: torch.Tensor) -> None:
        calls.append(len(rows))
        total.add_((data[rows] * 2 + 1).sum())

    replayed = Replayed(work, recorder)
    batches = torch.randperm(20, generator=torch.Generator().manual_seed(0)).split(6)
    for number, rows in enumerate(batches, start=1):
        replayed(rows)
        assert float(total) == sum(float((data[some] * 2 + 1).sum()) for some in batches[:number])
    assert calls == [6, 6, 2]  # once as ever, once recorded, and the last one
    assert [graph.replays for graph in recorder.graphs] == [2]


def test_what_cannot_be_recorded_is_done_batch_by_batch(recorder: SimulatedRecorder) -> None:
    """Also in later epochs."""
    total = torch.zeros(())

    def work(rows: torch.Tensor) -> None:
        total.add_(float(rows.sum()))  # waits for the GPU

    replayed = Replayed(work, recorder)
    replayed(torch.tensor([1, 2]))
    replayed(torch.tensor([3, 4]))
    replayed(torch.tensor([5, 6]))
    again = Replayed(work, recorder)
    again(torch.tensor([7]))
    again(torch.tensor([8]))
    assert float(total) == 36
    assert len(recorder.graphs) == 0


def test_an_error_in_a_batch_is_raised(recorder: SimulatedRecorder) -> None:
    def work(rows: torch.Tensor) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Replayed(work, recorder)(torch.tensor([1]))


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
@pytest.mark.parametrize(
    ("search", "training"),
    [
        (SEARCH, TRAINING),
        (
            replace(SEARCH, mutation="guided", generations=1),
            replace(TRAINING, epochs=2, annealing=0.5, schedule="cyclic", half_cycle=1),
        ),
    ],
)
def test_training_by_recordings_gives_the_same_model_and_states(
    monkeypatch: pytest.MonkeyPatch, search: SearchOptions, training: TrainingOptions
) -> None:
    """Bit by bit, though rates, noise, prior, random numbers and batches change."""
    on_gpu = DEVICE.type == "cuda"
    recorder = Recorder(DEVICE) if on_gpu else SimulatedRecorder(monkeypatch)
    replays: list[int] = []
    replay = Recorder.record

    def recording(self: Recorder, work: Callable[[], None]) -> Callable[[], None] | None:
        once = replay(self, work)
        assert once is not None
        replays.append(0)

        def counted() -> None:
            replays[-1] += 1
            once()

        return counted

    monkeypatch.setattr(Recorder, "record", recording)

    def trained(recorder: Recorder | None) -> list[torch.Tensor]:
        monkeypatch.setattr("denoise.vae.training.recorder_on", lambda device: recorder)
        model, patches, states = _case()
        history = train(
            model,
            GradientLearner(model, training, patch_count=len(patches)),
            patches,
            states,
            search=search,
            training=training,
            learn_noise_variance=True,
            seed=0,
        )
        with use("triton"):
            elbos = torch.tensor([stats.elbo for stats in history])
        weights = [parameter.detach() for parameter in model.mlp.parameters()]
        scalars = [model.prior_probs, model.noise_variance]
        return [elbos, *weights, *scalars, states.packed, states.log_joints]

    twin, found = trained(None), trained(recorder)
    # On a GPU, matrix products may add up in another order when they are recorded.
    close = {"rtol": 1e-3, "atol": 1e-3} if on_gpu else {"rtol": 0, "atol": 0}
    for one, other in zip(found, twin, strict=True):
        torch.testing.assert_close(one, other, **close)
    # Not in the epochs in which the noise falls; of three batches, the last one is smaller.
    steady = training.epochs - max(round(training.annealing * training.epochs), 1)
    assert replays == [1] * steady


def _case() -> tuple[MLPVAE, Patches, PackedStates]:
    """In float64 but on a GPU, where not every Triton multiplies it."""
    dtype = torch.float64 if DEVICE.type == "cpu" else torch.float32
    model = make_mlp_vae(11, 9, hidden=(20,))
    model.mlp.to(DEVICE, dtype)
    model.prior_probs = model.prior_probs.to(DEVICE, dtype)
    model.noise_variance = model.noise_variance.to(DEVICE, dtype)
    model.flip_cost = torch.zeros_like(model.prior_probs)
    raw = make_patches(5, 9)
    patches = Patches(raw.values.to(DEVICE, dtype), None, raw.index.to(DEVICE))
    states = random_states(4, 11, PatchRandom((0,), patches.index))
    scores = torch.zeros(5, 4, dtype=dtype, device=DEVICE)
    return model, patches, PackedStates.of(LatentStates(states, scores))


def test_nothing_is_recorded_on_a_cpu() -> None:
    assert recorder_on(torch.device("cpu")) is None

    def step(rows: torch.Tensor) -> None:
        pass

    assert replayed(step, None) is step


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_replays() -> None:
    device = torch.device("cuda")
    data, total = torch.arange(20.0, device=device), torch.zeros((), device=device)
    replayed = Replayed(lambda rows: total.add_(data[rows].sum()), Recorder(device))
    for rows in torch.arange(20, device=device).split(4):
        replayed(rows)
    assert float(total) == 190
    assert replayed._replay is not None
