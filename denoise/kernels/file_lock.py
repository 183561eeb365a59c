"""A lock on a file, for processes that would otherwise do the same work at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Seconds between two attempts.
INTERVAL = 0.05


@contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Hold a lock, which the system takes back when the process dies, however it dies.

    Nothing is locked where the system or the file system has no such locks, where the file cannot
    be written, and after `patience`: it saves work, and no result may depend on it.

    Parameters
    ----------
    path : an empty file, which is made and stays; other threads of this process are kept out too
    patience : seconds to wait for another holder, which may have been stopped
    """
    try:
        import fcntl

        file = path.open("ab")
    except (ImportError, OSError):
        yield
        return

    def is_ours() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    with file:
        deadline = time.monotonic() + patience
        while not is_ours() and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        yield
