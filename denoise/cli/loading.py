"""A quick start and end: Python's garbage collector leaves alone what is loaded and stays."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def modules_kept() -> Iterator[None]:
    """Import large modules in here: no garbage is looked for in them, now or later.

    torch alone makes more than half a million objects. To go through them again and again while
    it is imported, and once more when the process ends, takes a quarter of the start-up.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def start_worker(processes: int) -> None:
    """Load what a job needs, in one of several processes that share the cores."""
    with modules_kept():
        import_module("denoise.cli.batch")
        import torch
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
