"""Batches that ask the same of a GPU: recorded once as a CUDA graph, then replayed.

A small batch keeps the CPU busy with launches for longer than it keeps the GPU; replayed, it takes
three of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch import Tensor

from denoise.kernels import evolution_gpu as evolution
from denoise.kernels import mlp_gpu as perceptron
from denoise.options import SearchOptions
from denoise.patches import Patches, Rows
from denoise.vae.model import BinaryVAE


class Recorder:
    """Makes recordings, which share memory: the newest one may be replayed, no other."""

    def __init__(self, device: torch.device) -> None:
        self._stream = _stream(device)
        self._newest: torch.cuda.CUDAGraph | None = None
        self._refused = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work in the queue that recordings are made in, after and before all other work."""
        others = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(others)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            others.wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """What does `work`, which is not done now.

        None, after a warning, if that cannot be recorded; nothing is from then on.
        """
        if self._refused:
            return None
        try:
            self._newest = self._captured(work)
        except RuntimeError as error:
            self._refused = True
            reason = error.__context__ or error
            warnings.warn(
                f"batches are launched one by one, since they cannot be recorded: {reason}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        return self._newest.replay

    def _captured(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        shared = None if self._newest is None else self._newest.pool()
        with self.aside():
            # `torch.cuda.graph` would first give all memory back, at the price of many batches.
            # Other threads, which print for instance, may go on.
            graph.capture_begin(pool=shared, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        return graph


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings: libraries keep memory for each."""
    return torch.cuda.Stream(device)


class Replayed:
    """Work on the rows of many batches.

    The first batch is worked on as ever, which compiles what is needed; the second one is recorded;
    from then on the recording is replayed for batches of the same size. So the work must change and
    read only tensors that stay where they are, and depend on nothing else that changes.

    Parameters
    ----------
    work : takes rows (B,) int64 on the device
    """

    def __init__(self, work: Callable[[Rows], None], recorder: Recorder) -> None:
        self._work = work
        self._recorder = recorder
        self._rows: Tensor | None = None
        self._replay: Callable[[], None] | None = None

    def __call__(self, rows: Rows) -> None:
        """Work on a batch."""
        assert isinstance(rows, Tensor)
        if self._rows is None:
            self._rows = rows.clone()
            with self._recorder.aside():
                self._work(self._rows)
            return
        if self._replay is None and rows.shape == self._rows.shape:
            self._replay = self._recorder.record(partial(self._work, self._rows))
        if self._replay is None or rows.shape != self._rows.shape:
            self._work(rows)
        else:
            self._rows.copy_(rows)
            self._replay()


def recorder_for(model: BinaryVAE, patches: Patches, search: SearchOptions) -> Recorder | None:
    """Where all that a batch takes are kernels and operations that can be recorded, else None."""
    if patches.values.device.type != "cuda":
        return None
    if not (perceptron.supports(model, patches) and evolution.supports(search)):
        return None
    return Recorder(patches.values.device)
