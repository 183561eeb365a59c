"""What a CUDA graph does, on a CPU: operations and launches are recorded, then done again.

As in a graph, what they read and write are the same places in memory, and numbers of the CPU are
those of the recording; as for a graph, recording changes nothing and must not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from denoise.kernels import replaying
from denoise.kernels.launching import launches_handed_to
from denoise.kernels.replaying import Recorder

Step = Callable[[], object]


def _tensors(values: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class SimulatedGraph:
    """Stands in for `torch.cuda.CUDAGraph`."""

    def __init__(self, work: Step) -> None:
        self.replays = 0
        self._recording = _Recording()
        try:
            with launches_handed_to(self._recording.launch), self._recording:
                work()
        finally:
            self._recording.restore()

    def replay(self) -> None:
        self.replays += 1
        for step in self._recording.steps:
            step()


class SimulatedRecorder(Recorder):
    """Makes such graphs, and keeps them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(replaying, "_stream", lambda device: None)
        super().__init__(torch.device("cpu"))
        self.graphs: list[SimulatedGraph] = []

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _captured(self, work: Step) -> Any:
        self.graphs.append(SimulatedGraph(work))
        return self.graphs[-1]


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._made: dict[int, torch.Tensor] = {}  # kept, so that their places are not given away

    def restore(self) -> None:
        """Undo what has been done to tensors that were there before."""
        for storage, before in self._before.values():
            storage.copy_(before)

    def _save(self, values: object) -> None:
        for tensor in _tensors(values):
            if _place(tensor) not in self._made and _place(tensor) not in self._before:
                storage = tensor.untyped_storage()
                self._before[_place(tensor)] = storage, storage.clone()

    def launch(self, kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
        """Launch a kernel, and again at every replay."""
        with _disable_current_modes():
            self._save(arguments)
            kernel[grid](**arguments)
        self.steps.append(lambda: kernel[grid](**arguments))

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = options or {}
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError(f"{function} waits for the GPU")
        self._save((arguments, options))
        given = {_place(tensor) for tensor in _tensors((arguments, options))}
        results = function(*arguments, **options)
        new = [_place(one) not in given for one in _tensors(results)]
        # The same memory; the tensor itself may be given another shape in place.
        made = [one.as_strided(one.shape, one.stride()) for one in _tensors(results)]
        self._made |= {_place(one): one for one in made}

        def again() -> None:
            values = _tensors(function(*arguments, **options))
            for place, value, is_new in zip(made, values, new, strict=True):
                if is_new:
                    place.copy_(value)

        if any(new) or function._schema.is_mutable:
            self.steps.append(again)
        return results
