"""A quick start and end of a process, and what has to be set before it loads torch."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def modules_kept() -> Iterator[None]:
    """Import torch and others in here: no garbage is looked for in them, now or later.

    They make more than half a million objects. To go through these again and again during the
    import, and once more when the process ends, takes a quarter of the start-up.
    """
    if "torch" in sys.modules:
        yield
        return
    # Waiting threads should sleep: nothing is lost, and much gained on a busy machine. OpenMP
    # reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # NumPy's products, in estimates of noise, then round alike on any number of cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def start_worker(processes: int) -> None:
    """Load torch in one of several processes that share the cores."""
    with modules_kept():
        import torch
    torch.set_num_threads(max(1, _cores() // processes))


def _cores() -> int:
    """How many cores this process may use, which a cluster may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
