"""Choice of the device that a run computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from denoise.errors import DeviceError
from denoise.kernels.launching import works_on


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
        return "Triton is missing or does not work here; the GPU takes longer without its kernels"
    return None


@contextmanager
def memory_told() -> Iterator[None]:
    """Let a GPU that runs out of memory raise a DeviceError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise DeviceError("the memory of the GPU does not suffice; use --device cpu") from None


def describe_device(device: torch.device) -> str:
    """Name for reports, with the model of a CUDA GPU."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
