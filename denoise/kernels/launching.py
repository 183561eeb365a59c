"""What all launches of Triton kernels need."""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

# Of 32 threads each, for one program, unless its numbers do not fit into their registers.
WARPS = 4
# Of every launch; Triton warns where it is left to decide whether to fuse.
OPTIONS = {"num_warps": WARPS, "num_stages": 1, "enable_fp_fusion": True}
# The first version that can gather in registers.
LEAST_TRITON = (3, 3)


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
        from denoise.kernels import amplitude_triton as amplitude_kernels

        with launching_on(device):
            amplitude_kernels.probe[(1,)](target, **OPTIONS)
    except (TritonError, RuntimeError, OSError, subprocess.SubprocessError):
        return False
    return float(target) == 1


def launching_on(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current GPU, wherever its arguments are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def power_of_two(count: int) -> int:
    """The least one that is not below `count`."""
    return 1 << (count - 1).bit_length()


@cache
def latent_keys(latents: int, device: torch.device) -> Tensor:
    """A random number for each latent; a state is told by the sum of its latents'."""
    generator = torch.Generator().manual_seed(20221113)
    return torch.randint(-(2**62), 2**62, (latents,), generator=generator).to(device)
