"""How loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compile_loop(function: Callable[..., Any]) -> Any:
    """Compile at the first call; machine code is kept for later runs where a folder allows it.

    numba forgets what it has kept only when the file of the outermost loop changes, so loops
    that call each other belong in one file.
    """
    try:
        return numba.njit(cache=True, fastmath=True, nogil=True)(function)
    except RuntimeError:  # neither this folder nor the user's cache can be written
        return numba.njit(fastmath=True, nogil=True)(function)
