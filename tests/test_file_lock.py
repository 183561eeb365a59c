"""A lock on a file keeps others out, and ends with its holder."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import PROCESS_ENVIRONMENT

from denoise.kernels.file_lock import locked

pytest.importorskip("fcntl", reason="needs locks on files")

LONG, SHORT = 60.0, 0.2
# Holds a lock until it is killed.
HOLD = """if True:
    import sys, time
    from pathlib import Path
    from denoise.kernels.file_lock import locked
    with locked(Path(sys.argv[1]), 0):
        print(flush=True)
        time.sleep(60)"""


def seconds_to_lock(path: Path, patience: float) -> float:
    started = time.monotonic()
    with locked(path, patience):
        return time.monotonic() - started


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.lock"


def test_one_at_a_time_holds_it(path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(3):
            with locked(path, LONG):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.01)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 12


def test_it_ends_with_a_process_that_is_killed(path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=PROCESS_ENVIRONMENT) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert seconds_to_lock(path, SHORT) >= SHORT
        holder.kill()
    assert seconds_to_lock(path, LONG) < LONG / 2


def test_an_error_releases_it(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(path, 0):
        raise ZeroDivisionError
    assert seconds_to_lock(path, LONG) < LONG / 2


@pytest.mark.parametrize("lacking", ["module", "folder", "support"])
def test_nobody_waits_where_there_are_no_locks(
    path: Path, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    if lacking == "module":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    elif lacking == "folder":
        path = path / "missing" / "work.lock"
    else:
        monkeypatch.setattr("fcntl.flock", refuse)
    with locked(path, LONG):
        assert seconds_to_lock(path, LONG) < LONG / 2
