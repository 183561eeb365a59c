"""The command as a process among others: pipes, signals, several at a time."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import PROCESS_ENVIRONMENT, contents, noisy_file, run_cli
from PIL import Image

from denoise.__main__ import main
from denoise.cli.workers import start_context
from denoise.files.images import read_image

COMMAND = (sys.executable, "-m", "denoise")
QUICK = ("--sigma", "20", "--preset", "fast", "--epochs", "2", "--device", "cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four noisy images in a folder."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("abcd"):
        noisy_file(Path(f"in/{name}.png"), seed=seed)
    return tmp_path


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments, *QUICK], input=stdin, capture_output=True, env=PROCESS_ENVIRONMENT
    )


def test_an_image_goes_through_a_pipe_and_nothing_else_does() -> None:
    data = Path("in/a.png").read_bytes()
    piped = run("-", "-o", "-", stdin=data)
    assert piped.returncode == 0, piped.stderr
    assert b"stdin: 24x24 gray" in piped.stderr
    assert run_cli("in/a.png", "-o", "a.png", *QUICK)[0] == 0
    with Image.open(io.BytesIO(piped.stdout)) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), np.asarray(Image.open("a.png")))


def test_nothing_in_a_pipe_is_no_image() -> None:
    nothing = run_cli("-", *QUICK, stdin=b"")
    assert nothing[:2] == (1, "")
    assert nothing[2].startswith("error: stdin: is empty, not an image")


def test_two_processes_give_what_one_gives() -> None:
    assert run_cli("in", "-o", "one", *QUICK)[0] == 0
    Path("in/text.png").write_text("hello")
    code, stdout, _ = run_cli("in", "-o", "two", "--jobs", "2", *QUICK)
    assert code == 1
    assert "4 done, 0 skipped, 1 failed" in stdout
    for name in "abcd":
        assert Path(f"one/{name}.png").read_bytes() == Path(f"two/{name}.png").read_bytes()


def test_the_first_failure_ends_all_processes_if_told_so() -> None:
    whole = Path("in/a.png").read_bytes()
    Path("in/a.png").write_bytes(whole[:-100])  # only a decoder notices
    code, stdout, stderr = run_cli(
        "in", "-o", "out", "--jobs", "2", "--fail-fast", "--epochs", "9999"
    )
    assert code == 1
    assert "0 done, 0 skipped, 1 failed, 3 not tried" in stdout
    assert stderr.startswith("error: in/a.png: ")
    assert not Path("out").exists() or contents(Path("out")) == {}


def test_an_interruption_while_modules_are_loaded_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("denoise.cli.main.main", interrupted)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130


@pytest.mark.parametrize(
    ("number", "code", "jobs"),
    [
        pytest.param(signal.SIGINT, 130, 1, marks=pytest.mark.slow),
        (signal.SIGTERM, 143, 1),
        (signal.SIGINT, 130, 2),
        pytest.param(signal.SIGTERM, 143, 2, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_keeps_what_is_done_and_can_be_resumed(
    number: signal.Signals, code: int, jobs: int
) -> None:
    arguments = ["in", "-o", "out", "--skip-existing"]
    longer = ["--jobs", str(jobs), "--epochs", "60" if jobs == 1 else "100"]
    process = subprocess.Popen(
        [*COMMAND, *arguments, *QUICK, *longer],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=PROCESS_ENVIRONMENT,
        start_new_session=True,
    )
    while not Path("out/a.png").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    if number == signal.SIGINT:  # as from a terminal, which sends it to the workers too
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert b"Traceback" not in stderr
    last = stderr.decode().splitlines()[-1]
    assert last.endswith("images are done; the same command with --skip-existing goes on")
    done = contents(Path("out"))
    assert 1 <= len(done) < 4
    for name in done:
        assert read_image(Path(name)).pixels.shape == (24, 24)  # no half-written or hidden file
    code, stdout, _ = run_cli(*arguments, *QUICK)
    assert code == 0
    assert f"{4 - len(done)} done, {len(done)} skipped, 0 failed" in stdout
    for name, data in done.items():
        assert Path(name).read_bytes() == data


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def workers_of(process: subprocess.Popen[bytes], count: int) -> list[int]:
    """Wait until `count` worker processes run, and return their ids."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        servers = [one for one in children_of(process.pid) if "forkserver" in command_of(one)]
        workers = [worker for server in servers for worker in children_of(server)]
        if len(workers) == count:
            return workers
        time.sleep(0.02)
    raise AssertionError("the workers did not start")


def children_of(number: int) -> list[int]:
    """The ids of the processes that a process has started."""
    try:
        return [
            int(one) for one in Path(f"/proc/{number}/task/{number}/children").read_text().split()
        ]
    except OSError:
        return []


def command_of(number: int) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{number}/cmdline").read_text()
    except OSError:
        return ""


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=PROCESS_ENVIRONMENT,
    )


@linux
def test_a_worker_that_is_killed_costs_its_own_image_only() -> None:
    process = start("in", "-o", "out", "--jobs", "2", *QUICK)
    os.kill(workers_of(process, 2)[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"3 done, 0 skipped, 1 failed" in stdout
    assert stderr.count(b"error: ") == 1
    assert b"its process was killed; is there too little memory for 2 --jobs?" in stderr
    assert len(contents(Path("out"))) == 3


@linux
def test_workers_end_when_their_parent_is_killed() -> None:
    process = start("in", "-o", "out", "--jobs", "2", *QUICK, "--epochs", "9999")
    workers = workers_of(process, 2)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while any(map(command_of, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(command_of, workers))
    assert not Path("out").exists()


def test_processes_start_without_a_socket_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as where the name of the folder for temporary files is too long."""

    def fail() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", fail)
    assert start_context().get_start_method() == "spawn"


def in_shell(stderr: str, *command: str) -> tuple[int, bytes]:
    """Exit code and stdout of a command whose stderr goes somewhere."""
    shell = ["bash", "-c", f'"$@" {stderr}', "bash", *command]
    done = subprocess.run(shell, stdout=subprocess.PIPE, env=PROCESS_ENVIRONMENT)
    return done.returncode, done.stdout


@linux
@pytest.mark.parametrize("stderr", ["2>/dev/full", "2> >(true)", "2>&-"])
def test_a_command_goes_on_where_errors_cannot_be_printed(stderr: str) -> None:
    """On a full disk, a pipe that nobody reads, and where it is closed."""
    code = """if True:
        import time, typer
        from denoise.cli import main
        def app(prog_name):
            for line in ("an error", "another one"):
                typer.echo(line, err=True)
                time.sleep(0.05)
            print("a result")
        main.app = app
        main.main()"""
    assert in_shell(stderr, sys.executable, "-c", code) == (0, b"a result\n")


@linux
def test_results_are_not_lost_where_progress_cannot_be_printed() -> None:
    Path("in/text.png").write_text("an error is printed before the other image is done")
    arguments = ["in/a.png", "in/text.png", "-o", "out/", *QUICK]
    code, stdout = in_shell("2>/dev/full", *COMMAND, *arguments)
    assert code == 1
    assert b"1 done, 0 skipped, 1 failed" in stdout
    assert read_image(Path("out/a.png")).pixels.shape == (24, 24)


@linux
def test_the_time_since_the_start_is_measured() -> None:
    code = """if True:
        import time
        time.sleep(0.3)
        from denoise.cli.main import _seconds_since_start
        first = _seconds_since_start()
        time.sleep(0.2)
        print(first, _seconds_since_start())"""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    seconds = time.monotonic() - started
    first, second = map(float, done.stdout.split())
    assert 0.3 < first < second < seconds + 0.02  # a tick is 0.01 s
    assert second - first >= 0.2
