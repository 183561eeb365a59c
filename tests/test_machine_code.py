"""Compiled loops that are kept between runs: damage and full disks cost time, nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from conftest import PROCESS_ENVIRONMENT

from denoise.kernels.file_lock import locked
from denoise.kernels.machine_code import CheckedFiles, compile_loop


def add_up(values):  # type: ignore[no-untyped-def]
    """Compiled below."""
    total = 0.0
    for value in values:
        total += value
    return total


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def hits_of_a_new_process() -> int:
    """How many loops were read from files by what stands for another run."""
    loop: Any = compile_loop(add_up)
    assert loop(np.arange(4.0)) == 6
    return sum(loop.stats.cache_hits.values())


def test_a_loop_is_compiled_once(folder: Path) -> None:
    assert hits_of_a_new_process() == 0
    assert len(list(folder.rglob("*.loop"))) == 1
    assert hits_of_a_new_process() == 1


@pytest.mark.parametrize("damage", ["empty", "half", "bit", "other", "unreadable"])
def test_damaged_files_are_made_anew(folder: Path, damage: str) -> None:
    hits_of_a_new_process()
    (path,) = folder.rglob("*.loop")
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "empty": b"",
        "half": data[:middle],
        "bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "other": b"something else",
    }
    if damage == "unreadable":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(changed[damage])
    assert hits_of_a_new_process() == 0
    assert hits_of_a_new_process() == (damage != "unreadable")


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, data: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert hits_of_a_new_process() == 0
    assert not list(folder.rglob("*.loop*"))


def test_files_of_another_state_of_the_source_do_not_count(tmp_path: Path) -> None:
    files = CheckedFiles(tmp_path, "loop", b"first")
    files.save("key", [1, 2])
    assert files.load("key") == [1, 2]
    assert files.load("other key") is None
    assert CheckedFiles(tmp_path, "loop", b"second").load("key") is None


# Compiles when it is told to, and prints how many loops it read from files instead.
COMPILE = """
import numpy as np
from denoise.kernels.machine_code import compile_loop

@compile_loop
def running_sums(values):
    sums = np.empty_like(values)
    total = 0.0
    for place in range(len(values)):
        total += values[place]
        sums[place] = total
    return sums

print("ready", flush=True)
input()
assert running_sums(np.arange(4.0)).tolist() == [0, 1, 3, 6]
print(sum(running_sums.stats.cache_hits.values()))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs locks on files")
def test_one_of_several_processes_compiles(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(COMPILE)
    processes = [
        subprocess.Popen(
            [sys.executable, tmp_path / "run.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**PROCESS_ENVIRONMENT, "NUMBA_CACHE_DIR": str(tmp_path)},
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert sorted(process.communicate()[0] for process in processes) == ["0\n", "1\n"]


@pytest.mark.skipif(os.name != "posix", reason="needs locks on files")
def test_a_loop_is_compiled_without_the_lock_if_need_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its holder was stopped, and where there can be no file for it."""
    hits_of_a_new_process()
    (path,) = folder.rglob("*.loop")
    path.unlink()
    lock = path.with_suffix(".lock")
    with locked(lock, 0):
        monkeypatch.setattr("denoise.kernels.machine_code.PATIENCE", 0.1)
        assert hits_of_a_new_process() == 0
        monkeypatch.setattr("denoise.kernels.machine_code.PATIENCE", 60.0)
        started = time.monotonic()
        assert hits_of_a_new_process() == 1
        assert time.monotonic() - started < 30  # what is kept is read without it
    path.unlink()
    lock.unlink()
    lock.mkdir()
    assert hits_of_a_new_process() == 0


RUN = """
import hashlib, numpy as np
from denoise.kernels.group_filters_numba import filter_band
values = np.random.default_rng(0).normal(size=(40, 60)).astype(np.float32)
groups = np.random.default_rng(1).integers(0, 35 * 55, (50, 60))
ridge, sums = np.full(50, 3, np.float32), np.zeros((2, 40, 60), np.float32)
filter_band(values, values + 1, groups, ridge, 6, True, 1e-4, 0.01, 0, *sums)
print(hashlib.sha256(sums.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_a_loop_gives_the_same_bytes_whether_it_was_compiled_or_read(folder: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(folder), "PATH": ""}
    command = [sys.executable, "-c", RUN]
    first, second = (subprocess.check_output(command, env=environment) for _ in range(2))
    assert first == second
