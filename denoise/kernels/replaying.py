"""Steps that ask the same of a GPU again and again: captured once as a CUDA graph, then replayed.

A small batch keeps the CPU busy with launches for longer than it keeps the GPU; replayed, it takes
three of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from denoise.kernels.launching import works_on

Step = Callable[[Any], None]


class Recorder:
    """Captures CUDA graphs. They share one memory pool, so only the latest may be replayed."""

    def __init__(self, device: torch.device) -> None:
        self._stream = _stream(device)
        self._newest: torch.cuda.CUDAGraph | None = None
        self._refused = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work on the stream of the captures, after and before all other work."""
        others = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(others)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            others.wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """A replay of `work`, which is not done now; None if it cannot be captured."""
        if self._refused:
            return None
        try:
            self._newest = self._captured(work)
        except RuntimeError:
            self._refused = True
            return None
        return self._newest.replay

    def _captured(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        shared = None if self._newest is None else self._newest.pool()
        with self.aside():
            # `torch.cuda.graph` would first give all memory back, which costs as much as many
            # batches. Other threads, which print for instance, may go on.
            graph.capture_begin(pool=shared, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        return graph


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """One stream for all captures: cuBLAS keeps a workspace per stream."""
    return torch.cuda.Stream(device)


class Replayed:
    """A step for many batches of rows.

    The first batch runs as ever, which compiles what is needed; the second one is captured; from
    then on the graph is replayed for batches of the same size. So a step must change and read only
    tensors that stay where they are, and depend on nothing else that changes.
    """

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self._step = step
        self._recorder = recorder
        self._rows: Tensor | None = None
        self._replay: Callable[[], None] | None = None

    def __call__(self, rows: Tensor) -> None:
        """Take the step for rows (B,) int64 on the device."""
        if self._rows is None:
            self._rows = rows.clone()
            with self._recorder.aside():
                self._step(self._rows)
            return
        if self._replay is None and rows.shape == self._rows.shape:
            self._replay = self._recorder.record(partial(self._step, self._rows))
        if self._replay is None or rows.shape != self._rows.shape:
            self._step(rows)
        else:
            self._rows.copy_(rows)
            self._replay()


def recorder_on(device: torch.device) -> Recorder | None:
    """A recorder for a CUDA GPU that Triton works on; without its kernels steps wait too often."""
    return Recorder(device) if device.type == "cuda" and works_on(device) else None


def replayed(step: Step, recorder: Recorder | None) -> Step:
    """The step itself where there is no recorder."""
    return step if recorder is None else Replayed(step, recorder)
