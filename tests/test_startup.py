"""A quick start: nothing is loaded but what the command at hand needs."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROCESS_ENVIRONMENT, noisy_file

from denoise.cli.loading import modules_kept, start_worker

# Each takes a twentieth of a second or more.
SLOW = {"torch", "numba", "triton", "scipy", "skimage", "sympy", "matplotlib", "pooch", "pywt"}
SLOW |= {"rich", "scipy.ndimage", "torch._dynamo", "torch._inductor"}


def run_python(*arguments: str, error: str = "") -> str:
    """What a process that ends well prints; on stderr, it prints what begins with `error`."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=PROCESS_ENVIRONMENT,
    )
    assert done.stderr.startswith(error) and bool(done.stderr) == bool(error)
    return done.stdout


def loaded_by(code: str, *, error: str = "") -> set[str]:
    """Which slow modules are there after running this."""
    whole = f"import sys\n{code}\nprint(*sys.modules)"
    return SLOW.intersection(run_python("-c", whole, error=error).split())


def test_help_is_instant() -> None:
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        stdout = run_python("-m", "denoise", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "Usage: denoise" in stdout
    assert min(seconds) < 0.5


def test_imports_load_nothing_slow() -> None:
    assert loaded_by("import denoise, denoise.cli.main") == set()


@pytest.mark.parametrize(
    "arguments", [["a.png", "--sigma", "x"], ["a.png", "b.png", "-o", "out.png"]]
)
def test_what_cannot_be_meant_is_refused_at_once(arguments: list[str]) -> None:
    code = (
        f"sys.argv = ['denoise', *{arguments}]\n"
        "from denoise.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2"
    )
    assert loaded_by(code, error="Usage: denoise ") == set()


def test_a_run_loads_what_it_needs(tmp_path: Path) -> None:
    noisy_file(tmp_path / "a.png")
    options = ["--sigma", "20", "--preset", "fast", "--epochs", "1", "--device", "cpu", "--quiet"]
    code = (
        f"sys.argv = ['denoise', {str(tmp_path / 'a.png')!r}, *{options}]\n"
        "from denoise.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    # numba itself loads scipy, for its linear algebra.
    assert loaded_by(code) == {"torch", "numba", "scipy"}


def test_modules_are_kept_and_garbage_is_collected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_freeze_count()
    with modules_kept():  # torch is there
        assert gc.isenabled()
    assert gc.get_freeze_count() == before
    monkeypatch.delitem(sys.modules, "torch")
    try:
        with pytest.raises(ImportError), modules_kept():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a choice of cores")
def test_workers_share_the_cores_that_they_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 4, 5, 9})
    for processes in (1, 2, 8):
        start_worker(processes)
    assert threads == [5, 2, 1]


def test_a_run_that_learns_by_gradients_writes_nothing_when_it_is_quiet(tmp_path: Path) -> None:
    """Torch's optimisers load Triton, whose bindings check at the end what was collected."""
    noisy_file(tmp_path / "a.png")
    command = ["-m", "denoise", str(tmp_path / "a.png"), "--sigma", "20", "--quiet"]
    small = ["--epochs", "1", "--training-patches", "100", "--model", "vq-vae"]
    assert run_python(*command, *small) == ""
