"""The same program without its kernels, to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from denoise import fast_path
from denoise.cpu import matching
from denoise.gpu import merging, perceptron, refinement
from denoise.gpu.launching import works_on

# What asks whether there are kernels for a case, and its answer if there are none.
_QUESTIONS: tuple[tuple[Any, str, object], ...] = (
    (fast_path, "kernels_for", None),
    (perceptron, "supports", False),
    (matching, "supports", False),
    (refinement, "can_match", False),
    (refinement, "can_filter", False),
    (merging, "supports", False),
)


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
    """In which the program takes a path, "kernels" (where there are some) or "plain"."""
    return plain_tensors() if path == "plain" else nullcontext()
