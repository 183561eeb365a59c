"""How much memory a piece of work takes, where the system reports it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/statm")
INTERVAL = 0.02


class PeakMemory:
    """Largest resident size of the process while it was watched, in GB; None if unknown."""

    gigabytes: float | None = None


@contextmanager
def watch_memory() -> Iterator[PeakMemory]:
    """Look at the resident size of the process some fifty times a second."""
    peak, done = PeakMemory(), threading.Event()
    if not STATUS.exists():
        yield peak
        return

    def watch() -> None:
        while True:
            pages = int(STATUS.read_text().split()[1])
            now = pages * os.sysconf("SC_PAGE_SIZE") / 1e9
            peak.gigabytes = max(peak.gigabytes or 0.0, now)
            if done.wait(INTERVAL):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
