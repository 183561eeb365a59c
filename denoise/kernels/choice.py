"""Which implementation of an operation runs: "plain" tensors, "numba" loops or "triton" kernels.

Every operation asks here, and names the compiled implementations that cover its case. Tests and
benchmarks choose another one by `use`, for the whole process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from denoise.kernels.launching import works_on

Implementation = Literal["plain", "numba", "triton"]

# The name that `use` was given, and None outside of it.
_wanted: list[Implementation | None] = [None]


def implementation(values: Tensor, *compiled: Implementation) -> Implementation:
    """The implementation that an operation should take.

    Parameters
    ----------
    values : a tensor that the operation works on: numba works on a CPU, Triton on a CUDA GPU, both
        on float32
    compiled : the compiled implementations that cover the case; plain tensors always do
    """
    wanted = _wanted[-1]
    if wanted is not None:
        return wanted if wanted in compiled else "plain"
    if values.dtype != torch.float32:
        return "plain"
    if values.device.type == "cpu" and "numba" in compiled:
        return "numba"
    if values.device.type == "cuda" and "triton" in compiled and works_on(values.device):
        return "triton"
    return "plain"


@contextmanager
def use(name: Implementation | None) -> Iterator[None]:
    """Take an implementation wherever it covers the case, whatever the device and type.

    Parameters
    ----------
    name : None leaves the choice to `implementation` again
    """
    _wanted.append(name)
    try:
        yield
    finally:
        _wanted.pop()
