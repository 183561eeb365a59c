"""Paths of the same program: with kernels, with others than it takes, and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch

from denoise.kernels import groups_gpu as refinement
from denoise.kernels import matching_cpu as matching
from denoise.kernels import merging_gpu as merging
from denoise.kernels import mlp_gpu as perceptron
from denoise.kernels.launching import works_on
from denoise.vae import fast_path
from gpu_kernels import kernels_replaced

# Of whole runs.
PATHS = ("kernels", "plain")
# What asks whether there are kernels for a case, and its answer if there are none.
_QUESTIONS: tuple[tuple[Any, str, object], ...] = (
    (fast_path, "kernels_for", None),
    (perceptron, "supports", False),
    (matching, "supports", False),
    (refinement, "can_match", False),
    (refinement, "can_filter", False),
    (merging, "supports", False),
)


class PathError(Exception):
    """A path that cannot be taken: the kernel does not fit onto the GPU."""


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Compute with torch operations alone, on any device."""
    originals = [getattr(module, name) for module, name, _ in _QUESTIONS]

    def always(answer: object) -> object:
        return lambda *arguments, **options: answer

    for module, name, answer in _QUESTIONS:
        setattr(module, name, always(answer))
    try:
        yield
    finally:
        for (module, name, _), original in zip(_QUESTIONS, originals, strict=True):
            setattr(module, name, original)


def has_kernels(device: torch.device) -> bool:
    """Whether there is another path than plain tensors."""
    return device.type == "cpu" or (device.type == "cuda" and works_on(device))


def on_path(path: str) -> AbstractContextManager[None]:
    """In which the program takes a path.

    Parameters
    ----------
    path : "kernels" (where there are some), "plain" or, on a GPU, such as "2 warps": kernels with
        so many in a program, whatever they have otherwise
    """
    if path == "plain":
        return plain_tensors()
    if path == "kernels":
        return nullcontext()
    return kernels_replaced(partial(_Rewarped, int(path.split()[0])))


class _Rewarped:
    """A kernel that is launched with another number of warps."""

    def __init__(self, warps: int, kernel: Any) -> None:
        self._warps, self._kernel = warps, kernel

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        from triton.errors import TritonError

        def launch(*positional: Any, **named: Any) -> None:
            try:
                self._kernel[grid](*positional, **named | {"num_warps": self._warps})
            except (TritonError, RuntimeError) as error:
                raise PathError(str(error)) from error

        return launch
