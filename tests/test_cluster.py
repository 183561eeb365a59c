"""Images that are denoised by the workers of a Dask cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster_tasks import kill_or_double, touch
from conftest import PROCESS_ENVIRONMENT, ROOT, contents, noisy_file, run_cli

from denoise.cli.cluster import on_cluster
from denoise.cli.workers import Lost
from denoise.errors import ClusterError

pytest.importorskip("distributed", reason="needs Dask: pip install '.[cluster]'")

TESTS = Path(__file__).parent
NAMES = "abcd"
BLUR = ("--sigma", "20", "--method", "blur")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Noisy images in a folder."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(NAMES):
        noisy_file(Path(f"in/{name}.png"), seed=seed)
    return tmp_path


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """Ends the processes of Dask that were started."""
    with ExitStack() as stack:
        yield stack


def start(processes: ExitStack, *command: str) -> subprocess.Popen[str]:
    """A process of Dask, in another folder than the images."""
    started = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd="/",
        env={**PROCESS_ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
        stderr=subprocess.PIPE,
        text=True,
    )
    processes.callback(started.communicate)
    processes.callback(started.kill)
    return started


def start_scheduler(processes: ExitStack) -> tuple[subprocess.Popen[str], str]:
    """A scheduler on this machine, and its address."""
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    scheduler = start(processes, "distributed.cli.dask_scheduler", *options)
    assert scheduler.stderr is not None
    return scheduler, next(line for line in scheduler.stderr if "Scheduler at:" in line).split()[-1]


def start_worker(processes: ExitStack, scheduler: str, threads: int = 1) -> subprocess.Popen[str]:
    """A worker, which nobody starts again."""
    options = ("--nthreads", str(threads), "--no-nanny", "--no-dashboard")
    return start(processes, "distributed.cli.dask_worker", scheduler, *options)


def kill_when(path: Path, process: subprocess.Popen[str]) -> None:
    """Kill a process as soon as a file is there, in the background."""

    def wait_and_kill() -> None:
        while not path.exists():
            time.sleep(0.01)
        process.kill()

    threading.Thread(target=wait_and_kill, daemon=True).start()


def test_a_worker_that_is_killed_costs_no_image(processes: ExitStack) -> None:
    quick = ("--sigma", "20", "--preset", "fast", "--epochs", "15")
    _, scheduler = start_scheduler(processes)
    killed, _ = (start_worker(processes, scheduler) for _ in range(2))
    kill_when(Path("out/a.png"), killed)
    code, stdout, stderr = run_cli("in", "-o", "out", "--cluster", scheduler, *quick)
    assert (code, stderr, killed.poll()) == (0, "", -signal.SIGKILL)
    lines = stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"in/{name}.png" for name in NAMES]
    # It may have died when its image was written, but not reported.
    assert lines[-1] in ("4 done, 0 skipped, 0 failed", "3 done, 1 skipped, 0 failed")
    assert run_cli("in", "-o", "one", *quick)[0] == 0
    assert list(contents(Path("out")).values()) == list(contents(Path("one")).values())


@pytest.mark.slow
def test_processes_of_this_machine_give_what_one_gives_and_failures_in_order() -> None:
    assert run_cli("in", "-o", "one", *BLUR)[0] == 0
    Path("in/b.png").write_bytes(Path("in/b.png").read_bytes()[:-100])  # only a decoder notices
    code, stdout, stderr = run_cli("in", "-o", "two", "--cluster", "local:2", "--json", *BLUR)
    assert code == 1
    reports = [json.loads(line) for line in stdout.splitlines()]
    assert [(one["input"], one["output"]) for one in reports] == [
        (f"in/{name}.png", f"two/{name}.png") for name in NAMES
    ]
    assert [one["status"] for one in reports] == ["done", "failed", "done", "done"]
    assert f"error: {Path('in/b.png').absolute()}: " in stderr
    for name in "acd":
        assert Path(f"one/{name}.png").read_bytes() == Path(f"two/{name}.png").read_bytes()


@pytest.mark.slow
def test_a_task_that_kills_its_workers_again_and_again_is_given_up_alone() -> None:
    cleaned: set[tuple[int, int]] = set()
    found = list(
        on_cluster(
            kill_or_double,
            range(8),
            address="local:2",
            clean_up=lambda task, process: cleaned.add((task, process)),
        )
    )
    assert found.pop(3) == Lost("its worker died 4 times; is there too little memory for it?")
    assert found == [0, 2, 4, 8, 10, 12, 14]
    assert 3 in {task for task, _ in cleaned}


def test_what_is_left_is_cancelled(processes: ExitStack, tmp_path: Path) -> None:
    _, address = start_scheduler(processes)
    start_worker(processes, address)
    paths = [tmp_path / f"{number}" for number in range(10)]
    results = on_cluster(touch, paths, address=address, clean_up=lambda task, process: None)
    next(results)
    results.close()
    time.sleep(0.5)
    assert sum(path.exists() for path in paths) <= 2


def test_a_scheduler_that_ends_is_one_line(processes: ExitStack, tmp_path: Path) -> None:
    scheduler, address = start_scheduler(processes)
    start_worker(processes, address)
    paths = [tmp_path / f"{number}" for number in range(100)]
    results = on_cluster(touch, paths, address=address, clean_up=lambda task, process: None)
    kill_when(paths[2], scheduler)
    with pytest.raises(ClusterError, match="the cluster is gone; the same command with --skip"):
        list(results)


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denoise.cli.cluster.PATIENCE", 0.2)
    code, stdout, stderr = run_cli("in", "-o", "out", "--cluster", "tcp://127.0.0.1:1", *BLUR)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("error: tcp://127.0.0.1:1: no scheduler of Dask answers: ")
    assert stderr.count("\n") == 1


def test_without_dask_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, stdout, stderr = run_cli("in", "-o", "out", "--cluster", "local:2", *BLUR)
    assert (code, stdout) == (1, "")
    assert stderr == "error: --cluster needs distributed: pip install '.[cluster]'\n"


@pytest.mark.parametrize("address", ["local:0", "local", "local:", "host", "tcp://", "tcp://host"])
def test_what_is_no_address_is_wrong_usage(address: str) -> None:
    code, _, stderr = run_cli("in", "--cluster", address)
    assert code == 2
    assert f"local:N, got {address!r}" in " ".join(stderr.split())


def test_what_does_not_go_with_a_cluster() -> None:
    for arguments in (("in", "--jobs", "2"), ("in/a.png", "-o", "-")):
        assert run_cli(*arguments, "--cluster", "local:2")[0] == 2
    before = contents(Path())
    code, _, stderr = run_cli("in/a.png", "-o", "in/a.png", "--overwrite", "--cluster", "local:1")
    assert code == 1
    assert stderr.startswith("error: in/a.png: is the input; --cluster needs another output")
    assert contents(Path()) == before


def test_workers_are_checked_when_they_join(
    processes: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two schedulers, since one takes a while to notice that a worker has left.
    wide, address = (start_scheduler(processes)[1] for _ in range(2))
    start_worker(processes, wide, threads=2)
    assert run_cli("in", "-o", "out", "--cluster", wide, *BLUR)[2].endswith(
        ": does 2 tasks at a time; start workers of one thread each\n"
    )
    start_worker(processes, address)
    arguments = ("in", "-o", "out", "--cluster", address, *BLUR)
    monkeypatch.setattr("denoise.cli.cluster.__version__", "9.9")
    code, stdout, stderr = run_cli(*arguments)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert stderr.startswith("error: tcp://127.0.0.1:")
    assert ", but this is 9.9; install the same on every machine" in stderr
