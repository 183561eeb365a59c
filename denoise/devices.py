"""The device that a run computes on, and what happens when its memory runs out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from denoise.errors import DeviceError
from denoise.kernels.launching import works_on

Result = TypeVar("Result")


def pick_device(name: str) -> torch.device:
    """Resolve "auto", "cpu", "cuda", "cuda:N" or "mps"; "auto" is a CUDA GPU if there is one.

    An Apple GPU is used if asked for only: it lacks some of the linear algebra.

    Raises
    ------
    DeviceError
        If the name is unknown or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return device
    if device.type == "cuda":
        number, count = device.index or 0, torch.cuda.device_count()
        if number < count:
            return torch.device("cuda", number)
        raise DeviceError(
            f"device {name}: PyTorch finds {count} CUDA GPUs on this machine; use --device cpu"
        )
    if device.type == "mps":
        if torch.backends.mps.is_available():
            return device
        raise DeviceError(f"device {name}: PyTorch finds no Apple GPU here; use --device cpu")
    raise DeviceError(f"device {name} is unknown; use auto, cpu, cuda, cuda:N or mps")


def device_note(device: torch.device) -> str | None:
    """What the user should know before a run on a device, if anything."""
    if device.type == "cuda" and not works_on(device):
        return "Triton is missing or does not work here; without its kernels the GPU takes longer"
    return None


def processor_name() -> str:
    """What this machine's processor is called."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


@contextmanager
def out_of_memory_reported() -> Iterator[None]:
    """Raise a DeviceError where a GPU runs out of memory."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise DeviceError("out of GPU memory; use the device cpu") from None


class PartsThatFit:
    """Runs a job on a batch; when the GPU runs out of memory, splits the batch and retries.

    It remembers how many rows fit.

    Parameters
    ----------
    at_first : rows to try at once; by default all
    """

    def __init__(self, at_first: int | None = None) -> None:
        self._fits = at_first

    def results(self, work: Callable[[slice], Result], count: int) -> list[Result]:
        """Results of `work` on all rows or, if it runs out of memory, on halves, quarters, ...

        Parameters
        ----------
        work : takes a slice of the rows 0..`count` - 1; must be able to start again
        count : at least 1

        Raises
        ------
        torch.OutOfMemoryError
            If one row is too much.
        """
        size = min(self._fits or count, count)
        waiting = [slice(start, min(start + size, count)) for start in range(0, count, size)][::-1]
        results: list[Result] = []
        while waiting:
            rows = waiting.pop()
            result = _attempt(work, rows)
            if result is None:
                middle = (rows.start + rows.stop) // 2
                self._fits = middle - rows.start
                waiting += [slice(middle, rows.stop), slice(rows.start, middle)]
            else:
                results.append(result[0])
        return results


def _attempt(work: Callable[[slice], Result], rows: slice) -> tuple[Result] | None:
    """The result, or None if halves should be tried; the memory of the attempt is free then."""
    try:
        return (work(rows),)
    except torch.OutOfMemoryError:
        if rows.stop - rows.start <= 1:
            raise
    torch.cuda.empty_cache()
    return None


def describe_device(device: torch.device) -> str:
    """Name for reports, with the model of a CUDA GPU."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
