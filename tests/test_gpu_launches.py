"""How much a GPU is asked to do: launches of kernels, and torch operations between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from denoise.kernels.matching import match_patches
from denoise.options import DenoiseOptions
from denoise.patches import Patches
from denoise.presets import Overrides, override, preset
from denoise.vae.learned import untrained
from denoise.vae.training import train
from gpu_kernels import Launch, launches_of_presets, recorded

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


class CountedOperations(TorchDispatchMode):
    """Counts what torch is asked to compute, views and empty tensors aside."""

    FREE = (
        *("view", "_unsafe_view", "t", "slice", "select", "transpose", "permute", "as_strided"),
        *("unsqueeze", "squeeze", "squeeze_", "expand", "diagonal", "detach", "alias", "unbind"),
        *("split", "empty", "empty_like", "new_empty", "lift_fresh"),
    )

    # What reads a value back, or has a shape that depends on values: the GPU must be done first.
    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.count = self.waits = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        name = str(function.overloadpacket).removeprefix("aten.")
        self.count += name not in self.FREE
        self.waits += name in self.WAITING
        return function(*arguments, **(options or {}))


def counted(work: Callable[[], object]) -> tuple[int, int, int]:
    """Torch operations, launches and waits of some work, whose kernels do nothing."""
    launches: list[Launch] = []
    with recorded("", launches), CountedOperations() as operations:
        work()
    return operations.count, len(launches), operations.waits


def cost_of_a_batch(options: DenoiseOptions) -> tuple[float, ...]:
    """From epochs of one and of three batches."""

    def epoch(batches: int) -> tuple[int, ...]:
        count = batches * options.training.batch_size
        patches = Patches.from_raw(
            torch.zeros(count, options.model.patch_sizes[0] ** 2), torch.arange(count)
        )
        generator = torch.Generator().manual_seed(0)
        model, learner, sets = untrained(options, patches, 1.0, generator, seed=0)

        def learn() -> None:
            stats = train(
                model,
                learner,
                patches,
                sets,
                search=options.search,
                training=options.training,
                learn_noise_variance=False,
                seed=0,
            )
            next(stats)

        return counted(learn)

    epoch(1)  # what is computed once and kept
    one, three = epoch(1), epoch(3)
    return tuple((more - less) / 2 for more, less in zip(three, one, strict=True))


@pytest.fixture(autouse=True)
def _no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that do nothing leave an ELBO of what was in memory."""
    monkeypatch.setattr("denoise.vae.training._stats", lambda *sums, **count: None)


def test_a_batch_with_the_published_settings() -> None:
    """One launch to score, four to breed, two to keep the best, one for the gradient."""
    options = override(preset("paper"), Overrides(epochs=1))
    operations, launches, waits = cost_of_a_batch(options)
    assert launches == 8
    assert operations <= 17
    assert waits == 0


def test_a_batch_of_the_amplitude_model() -> None:
    options = override(preset("fast"), Overrides(epochs=1))
    options = replace(options, training=replace(options.training, batch_size=64))
    operations, launches, waits = cost_of_a_batch(options)
    assert launches == 2
    assert operations <= 115
    assert waits == 0


def test_matching_is_one_launch() -> None:
    image = torch.zeros(64, 64)
    operations, launches, _ = counted(
        lambda: match_patches(image, 6, group_size=60, window=20, stride=3)
    )
    assert launches == 1
    assert operations <= 5


def test_no_argument_is_taken_for_an_option_of_the_launch() -> None:
    """Triton's own names; its interpreter accepts them as arguments, but a GPU does not."""
    own = {"stream", "grid", "warmup", "num_warps", "num_stages", "num_ctas", "enable_fp_fusion"}
    launches = launches_of_presets()
    assert len({one.kernel.fn.__name__ for one in launches}) == 10
    assert not any(own & set(one.arguments) for one in launches)
