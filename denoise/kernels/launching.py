"""The one function that launches Triton kernels, and what launches need."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

# Warps (of 32 threads) per program; kernels that would spill registers ask for more.
WARPS = 4
# The first version that can gather in registers.
LEAST_TRITON = (3, 3)

# Gets a kernel, its grid, and all its arguments by name.
Launcher = Callable[[Any, tuple[int, ...], dict[str, Any]], None]


def launch(kernel: Any, grid: tuple[int, ...], *, warps: int = WARPS, **arguments: Any) -> None:
    """Launch a kernel on the GPU of its tensors.

    Parameters
    ----------
    kernel : decorated by `triton.jit`
    grid : number of programs along each axis
    warps : of each program
    arguments : of the kernel, by name
    """
    # Triton 3.9 warns where a launch does not say whether to fuse multiplications and additions.
    options = {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}
    _launchers[-1](kernel, grid, arguments | options)


def _launch(kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
    device = next(one.device for one in arguments.values() if isinstance(one, Tensor))
    with _current(device):
        kernel[grid](**arguments)


_launchers: list[Launcher] = [_launch]


def current_launcher() -> Launcher:
    """What `launch` calls."""
    return _launchers[-1]


@contextmanager
def launches_handed_to(launcher: Launcher) -> Iterator[None]:
    """Let `launch` call `launcher` instead of launching: to count, record or change launches."""
    _launchers.append(launcher)
    try:
        yield
    finally:
        _launchers.pop()


@cache
def works_on(device: torch.device) -> bool:
    """Whether there is a Triton that can launch there; it needs a C compiler, for instance."""
    try:
        import triton
        from triton.errors import TritonError

        if tuple(int(part) for part in triton.__version__.split(".")[:2]) < LEAST_TRITON:
            return False
    except ImportError:
        return False
    target = torch.zeros(1, device=device)
    try:
        from denoise.kernels.amplitude_triton import probe

        _launch(probe, (1,), {"target": target})
    except (TritonError, RuntimeError, OSError, subprocess.SubprocessError):
        return False
    return float(target) == 1


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current GPU, wherever its arguments are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def power_of_two(count: int) -> int:
    """The smallest power of two that is at least `count`."""
    return 1 << (count - 1).bit_length()
