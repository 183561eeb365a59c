"""Random commands in odd surroundings: `make fuzz-commands RUNS=2000`.

Whatever the files, options and environment: the exit code is one of those that are documented, no
traceback is printed, files that were there are bit for bit the same unless --overwrite was given,
every file that is written can be read, and no temporary file is left. Each run is a fork, so that
the program is loaded once; those without a home folder or UTF-8 are processes of their own.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ingredients import make_files, random_command

import denoise.cli.console  # what a command loads, once for all runs
import denoise.cli.main
import denoise.noise.estimate  # noqa: F401
from denoise.__main__ import main
from denoise.errors import ImageError
from denoise.files.formats import IMAGE_SUFFIXES
from denoise.files.images import read_image

NOBODY = 65_534
# Whether everybody may read the libraries that a run loads.
FOR_ALL = all(one.stat().st_mode & 0o001 for one in Path(os.__file__).parents)
EXIT_CODES = {0, 1, 2, 130, 143}
LONGEST = 180
SURROUNDINGS = [
    *("usual", "usual", "usual", "closed stdout", "closed stderr", "full stdout", "full stderr"),
    *("read-only folder", "nobody", "small files", "little memory", "interrupt", "terminate"),
    *("bare environment", "other cache"),
]


@dataclass
class Outcome:
    """What a run left: exit code, standard error and what is wrong with it."""

    code: int
    stderr: str
    faults: list[str] = field(default_factory=list)


def contents(folder: Path) -> dict[str, bytes]:
    """All regular files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def run(command: list[str], surroundings: str, folder: Path, chance: random.Random) -> Outcome:
    """Run a command in a folder."""
    out, err = folder.with_suffix(".out"), folder.with_suffix(".err")
    if surroundings in ("bare environment", "other cache"):
        child = _start_process(command, surroundings, folder, out, err)
    else:
        child = os.fork()
        if child == 0:
            _be_the_command(command, surroundings, folder, out, err)
    while not err.exists():  # it has not begun
        time.sleep(0.01)
    if surroundings in ("interrupt", "terminate"):
        time.sleep(chance.uniform(0.02, 1.5))
        os.kill(child, signal.SIGINT if surroundings == "interrupt" else signal.SIGTERM)
    until = time.monotonic() + LONGEST
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Outcome(-1, "", [f"ran for more than {LONGEST} s"])
    code = os.waitstatus_to_exitcode(ended[1])
    if -code in (signal.SIGINT, signal.SIGTERM):  # before it could handle them; as a shell says it
        code = 128 - code
    return Outcome(code, err.read_text("utf-8", "replace"))


def _start_process(
    command: list[str], surroundings: str, folder: Path, out: Path, err: Path
) -> int:
    environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    if surroundings == "bare environment":
        environment |= {"LANG": "C", "LC_ALL": "C", "COLUMNS": "10"}
    else:
        environment |= {"HOME": "/nonexistent", "NUMBA_CACHE_DIR": "/proc/1"}
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "denoise", *command],
            env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
        )  # fmt: skip
    return process.pid


def _be_the_command(
    command: list[str], surroundings: str, folder: Path, out: Path, err: Path
) -> None:
    """Become a run of the command; never returns."""
    try:
        os.chdir(folder)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        os.dup2(os.open(err, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
        if surroundings.startswith("full"):
            os.dup2(full, 1 if "stdout" in surroundings else 2)
        if surroundings.startswith("closed"):
            name = surroundings.split()[1]
            os.close(1 if name == "stdout" else 2)
            setattr(sys, name, None)
        if surroundings == "read-only folder":
            folder.chmod(0o555)
        if surroundings in ("read-only folder", "nobody") and os.geteuid() == 0 and FOR_ALL:
            os.setuid(NOBODY)
        if surroundings == "small files":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        if surroundings == "little memory":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
        sys.argv = ["denoise", *command]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                continue
    os._exit(code)


def judge(
    command: list[str], surroundings: str, outcome: Outcome, before: dict[str, bytes], folder: Path
) -> None:
    """Note what is wrong."""
    faults = outcome.faults
    if outcome.code not in EXIT_CODES:
        faults.append(f"exit code {outcome.code}")
    for word in ("Traceback", "internal error", "Warning", "Exception ignored"):
        if word in outcome.stderr and surroundings != "little memory":
            faults.append(f"{word!r} on stderr")
    after = contents(folder)
    for name, data in before.items():
        if after.get(name) != data and not {"--overwrite", "--skip-existing"} & set(command):
            faults.append(f"{name} was changed")
    for name, data in after.items():
        if name.endswith((".tmp", ".complete")):
            faults.append(f"{name} is left")
        elif data != before.get(name) and not _opens(folder / name):
            faults.append(f"{name} cannot be read")


def _opens(path: Path) -> bool:
    try:
        match path.suffix.lower():
            case ".npy":
                np.load(path)
            case suffix if suffix in IMAGE_SUFFIXES:
                read_image(path)
            case _:
                return path.stat().st_size > 0
    except (ImageError, ValueError, OSError):
        return False
    return True


def main_loop(runs: int, first: int) -> int:
    """Number of runs with faults; Ctrl-C ends it early."""
    done, faulty, codes = 0, 0, dict.fromkeys(sorted(EXIT_CODES), 0)
    try:
        for seed in range(first, first + runs):
            outcome = one_run(seed)
            done, codes[outcome.code] = done + 1, codes.get(outcome.code, 0) + 1
            faulty += bool(outcome.faults)
    except KeyboardInterrupt:
        pass
    print(f"{done} runs, {faulty} with faults; exit codes: {codes}")
    return faulty


def one_run(seed: int) -> Outcome:
    """Run a random command, judge it and print it if anything is wrong."""
    chance = random.Random(seed)
    command, surroundings = random_command(chance), chance.choice(SURROUNDINGS)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "work"
        folder.mkdir()
        Path(parent).chmod(0o755)
        make_files(folder)
        if surroundings == "nobody" and os.geteuid() == 0:
            shutil.chown(folder, NOBODY)
        before = contents(folder)
        outcome = run(command, surroundings, folder, chance)
        folder.chmod(0o755)
        judge(command, surroundings, outcome, before, folder)
    if outcome.faults:
        print(json.dumps([seed, surroundings, command, outcome.faults]), flush=True)
        print(outcome.stderr[-600:], flush=True)
    return outcome


if __name__ == "__main__":
    main_count, main_first = (int(text) for text in (*sys.argv[1:], "0")[:2])
    sys.exit(main_loop(main_count, main_first) > 0)
