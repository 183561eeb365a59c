"""Block matching on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise.threads import on_all_cores

# Rows of reference patches that are one piece of work.
ROWS = 4


def supports(pilot: Tensor) -> bool:
    """Whether there is a loop for such a pilot."""
    return pilot.device.type == "cpu" and pilot.dtype == torch.float32


def match(
    pilot: Tensor, patch_size: int, window: int, rows: Tensor, columns: Tensor, group_size: int
) -> Tensor:
    """As `groups.match_plainly`, in float32."""
    from denoise.kernels import matching_numba as matching_kernels

    image = pilot.contiguous().numpy()

    def match_some(some: Tensor) -> Tensor:
        numbers = torch.empty(len(some) * len(columns), group_size, dtype=torch.int64)
        matching_kernels.match(
            image, patch_size, window, some.numpy(), columns.numpy(), numbers.numpy()
        )
        return numbers

    return torch.cat(list(on_all_cores(match_some, rows.split(ROWS))))
