"""Batches that ask the same of a GPU: recorded once as a CUDA graph, then replayed.

A small batch keeps the CPU busy with launches for longer than it keeps the GPU; replayed, it takes
two of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from denoise.gpu import evolution, perceptron
from denoise.model import BinaryVAE
from denoise.options import SearchOptions
from denoise.patches import Patches, Rows


class Recorder:
    """Makes recordings, which share memory: the newest one may be replayed, no other."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._newest: torch.cuda.CUDAGraph | None = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work in the queue that recordings are made in, after and before all other work."""
        others = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(others)
        with torch.cuda.stream(self._stream):
            yield
        others.wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What does `work` again, which is not done now.

        Raises
        ------
        RuntimeError
            If something in it cannot be recorded, such as waiting for the GPU.
        """
        graph = torch.cuda.CUDAGraph()
        shared = None if self._newest is None else self._newest.pool()
        # Other threads, which print for instance, may go on.
        recording = torch.cuda.graph(
            graph, pool=shared, stream=self._stream, capture_error_mode="thread_local"
        )
        with self.aside(), recording:
            work()
        self._newest = graph
        return graph.replay


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
        self._refused = False

    def __call__(self, rows: Rows) -> None:
        """Work on a batch."""
        assert isinstance(rows, Tensor)
        if self._rows is None:
            self._rows = rows.clone()
            with self._recorder.aside():
                self._work(self._rows)
            return
        if self._replay is None and not self._refused and rows.shape == self._rows.shape:
            self._replay = self._recorded(self._rows)
        if self._replay is None or rows.shape != self._rows.shape:
            self._work(rows)
            return
        self._rows.copy_(rows)
        self._replay()

    def _recorded(self, rows: Tensor) -> Callable[[], None] | None:
        try:
            return self._recorder.record(lambda: self._work(rows))
        except RuntimeError as error:
            self._refused = True
            warnings.warn(
                f"batches are launched one by one, since they cannot be recorded: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None


def recorder_for(model: BinaryVAE, patches: Patches, search: SearchOptions) -> Recorder | None:
    """Where all that a batch takes are kernels and operations that can be recorded, else None."""
    if patches.values.device.type != "cuda":
        return None
    if not (perceptron.supports(model, patches) and evolution.supports(search)):
        return None
    return Recorder(patches.values.device)
