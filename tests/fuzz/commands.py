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
import tifffile
from PIL import Image

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
QUICK = ["--epochs", "1", "--training-patches", "128"]
INPUTS = [
    *("gray.png", "deep.png", "rgba.png", "photo.jpg", "float.tif", "stack.tif", "lzw.tif"),
    *("nan.tif", "map.tif", "flat.bmp", "gray.pgm", "tiny.png", "cut.png", "empty.png"),
    *("text.png", "in", "none.png", "a folder", "in/*.png", "-", "ü.webp", "link.png", "/dev/null"),
]
OPTIONS = [
    *(["-o", "out.png"], ["-o", "out.tif"], ["-o", "out/"], ["-o", "x/y/z.png"]),
    *(["--sigma", "20"], ["--sigma", "20"], ["--sigma", "auto"], ["--sensor", "1,2"]),
    *(["--noise", "gaussian"], ["--noise", "poisson-gaussian"], ["--seed", "7"]),
    *(["--preset", "fast"], ["--preset", "balanced"], ["--decoder", "mlp"]),
    *(["--method", "nl-means"], ["--method", "tv"], ["--method", "wavelet"], ["--json"]),
    *(["--quiet"], ["--verbose"], ["--overwrite"], ["--skip-existing"], ["--fail-fast"]),
    *(["--frame", "2"], ["--strip"], ["--fill-missing"], ["--keep-outliers"]),
    *(["--max-pixels", "300"], ["--time-budget", "1s"], ["--recursive"], ["--suffix", "_x"]),
    *(["--figure", "f.png"], ["--figure", "figures/"], ["--curve", "c.csv"], ["--curve", "c.png"]),
    *(["--uncertainty", "u.npy"], ["--uncertainty", "u.png"], ["--save-model", "m.npz"]),
    *(["--residual", "r.npy"], ["--residual", "r.png"], ["--residual", "r.tif"]),
    *(["--strength", "0"], ["--strength", "0.6"]),
    *(["--show-model", "m.png"], ["--reference", "gray.png"], ["--jobs", "2"]),
]
ODD_OPTIONS = [
    *(["-o", "gray.png"], ["-o", "-"], ["-o", "old.png"], ["-o", "out.xyz"], ["-o", ""]),
    *(["-o", "in"], ["--sigma", "0.001"], ["--sigma", "1e6"], ["--sigma", "-1"]),
    *(["--sigma", "nan"], ["--sensor", "x"], ["--noise", "gray.png"], ["--preset", "slow"]),
    *(
        ["--frame", "9"],
        ["--load-model", "gray.png"],
        ["--strength", "7"],
        ["--reference", "in"],
        ["--device", "cuda"],
    ),
]
EXCLUSIVE = [
    *({"--method", one} for one in ("--preset", "--decoder", "--time-budget", "--epochs")),
    *({"--method", one} for one in ("--curve", "--uncertainty", "--save-model", "--show-model")),
    *({"--sigma", one} for one in ("--sensor", "--noise")),
    *({"--noise", "--sensor"}, {"--quiet", "--verbose"}, {"--time-budget", "--epochs"}),
    *({"--overwrite", "--skip-existing"}, {"--preset", "--decoder"}),
]
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


def make_files(folder: Path) -> None:
    """A folder with good, odd and broken images, and earlier results."""
    generator = np.random.default_rng(0)
    (folder / "in").mkdir()
    (folder / "a folder").mkdir()
    gray = generator.normal(120, 20, (24, 20)).clip(0, 255).astype(np.uint8)
    colour = generator.normal(120, 20, (20, 24, 4)).clip(0, 255).astype(np.uint8)
    for name in ("gray.png", "flat.bmp", "gray.pgm", "in/a.png", "in/b.png", "old.png"):
        Image.fromarray(gray).save(folder / name)
    for name in ("rgba.png", "ü.webp"):
        Image.fromarray(colour).save(folder / name)
    Image.fromarray(colour[..., :3].copy()).save(folder / "photo.jpg")
    Image.fromarray(gray.astype(np.uint16) * 256).save(folder / "deep.png")
    Image.fromarray(gray[:2, :2].copy()).save(folder / "tiny.png")
    floats = gray.astype(np.float32)
    tifffile.imwrite(folder / "float.tif", floats / 255)
    tifffile.imwrite(folder / "stack.tif", np.stack([gray] * 3), photometric="minisblack")
    tifffile.imwrite(folder / "lzw.tif", gray, compression="lzw")
    tifffile.imwrite(folder / "nan.tif", np.where(gray > 150, np.nan, floats))
    nodata = [(42_113, "s", 0, "0", True)]
    tifffile.imwrite(folder / "map.tif", np.where(gray > 150, 0, gray), extratags=nodata)
    data = (folder / "gray.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "link.png").symlink_to("gray.png")


def contents(folder: Path) -> dict[str, bytes]:
    """All regular files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def random_command(chance: random.Random) -> list[str]:
    """Inputs and options, likely and unlikely ones; most fit together."""
    inputs = chance.sample(INPUTS, chance.choice([1, 1, 1, 2, 3]))
    several = len(inputs) > 1 or inputs[0] in ("in", "in/*.png", "a folder")
    options = [*chance.sample(OPTIONS, chance.randint(0, 5)), QUICK]
    if chance.random() < 0.8:
        options = _fitting(options, several=several)
    options += chance.sample(ODD_OPTIONS, chance.choice([0, 0, 0, 1]))
    return [*inputs, *(part for one in options for part in one)]


def _fitting(options: list[list[str]], *, several: bool) -> list[list[str]]:
    """Those of them that do not exclude each other."""
    kept: dict[str, list[str]] = {}
    for option in options:
        names_a_file = len(option) > 1 and option[1][-4:-3] == "."
        if several and names_a_file and option[0] != "--reference":
            continue
        if not any({option[0], other} in EXCLUSIVE for other in kept):
            kept[option[0]] = option
    return list(kept.values())


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
