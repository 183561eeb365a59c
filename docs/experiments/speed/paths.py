"""Paths of the same program: with kernels, with kernels of other sizes, and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from denoise.kernels.choice import use
from denoise.kernels.launching import current_launcher, launches_handed_to, works_on

# The paths of whole runs.
PATHS = ("kernels", "plain")


class PathError(Exception):
    """A path that cannot be taken: the kernel does not fit onto the GPU."""


def has_kernels(device: torch.device) -> bool:
    """Whether there is another path than plain tensors."""
    return device.type == "cpu" or (device.type == "cuda" and works_on(device))


def on_path(path: str) -> AbstractContextManager[None]:
    """A context in which the program takes a path.

    Parameters
    ----------
    path : "kernels" (where there are some), "plain" or, on a GPU, such as "2 warps": kernels with
        this many warps per program
    """
    if path == "plain":
        return use("plain")
    if path == "kernels":
        return nullcontext()
    return _rewarped(int(path.split()[0]))


@contextmanager
def _rewarped(warps: int) -> Iterator[None]:
    """Launch with another number of warps."""
    from triton.errors import TritonError

    launch = current_launcher()

    def relaunch(kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
        try:
            launch(kernel, grid, arguments | {"num_warps": warps})
        except (TritonError, RuntimeError) as error:
            raise PathError(str(error)) from error

    with launches_handed_to(relaunch):
        yield
