"""A long run over many small files, killed and resumed: `make soak`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from conftest import PROCESS_ENVIRONMENT, contents, step_image
from image_samples import pillow_bytes, tiff_bytes
from PIL import Image

from denoise.files.images import read_image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes"),
]
FILES, BROKEN_SHARE, KILLS = 500, 10, 5
OPTIONS = ("--sigma", "20", "--preset", "fast", "--epochs", "1", "--training-patches", "256")
# Memory of the workers may grow by this factor between the first and the last quarter of a run.
FLAT = 1.15


def noisy(generator: np.random.Generator, channels: int) -> np.ndarray:
    """A small image of one or three channels."""
    height, width = generator.integers(16, 40, 2)
    planes = [step_image(height, width)] * channels
    image = np.dstack(planes) if channels > 1 else planes[0]
    return np.clip(image + 20 * generator.standard_normal(image.shape), 0, 255)


def good_file(number: int, generator: np.random.Generator) -> tuple[str, bytes]:
    """Suffix and bytes of a file that can be denoised."""
    channels = int(generator.choice([1, 3]))
    values = noisy(generator, channels)
    whole, kind = values.astype(np.uint8), "rgb" if channels == 3 else "minisblack"
    match number % 9:
        case 0 | 1:
            return ".png", pillow_bytes(whole, "PNG")
        case 2:
            return ".PNG", pillow_bytes((noisy(generator, 1) * 257).astype(np.uint16), "PNG")
        case 3:
            return ".jpg", pillow_bytes(whole, "JPEG")
        case 4:
            return ".tif", tiff_bytes(values.astype(np.float32), photometric=kind)
        case 5:
            deep = (values * 257).astype(np.uint16)
            return ".tiff", tiff_bytes(deep, compression="lzw", photometric=kind)
        case 6:
            return ".webp", pillow_bytes(whole, "WEBP", lossless=True)
        case 7:
            return ".bmp", pillow_bytes(whole, "BMP")
    return (".pgm" if channels == 1 else ".ppm"), pillow_bytes(whole, "PPM")


def broken_file(number: int, generator: np.random.Generator) -> tuple[str, bytes]:
    """Suffix and bytes of a file that cannot."""
    values = noisy(generator, 1).astype(np.uint8)
    png, lzw = pillow_bytes(values, "PNG"), tiff_bytes(values, compression="lzw")
    place = lzw.index(b"\x80", 8)
    kinds = (
        (".png", png[: len(png) // 2]),
        (".png", b""),
        (".jpg", b"hello\n"),
        (".tif", generator.bytes(300)),
        (".tif", lzw[:place] + b"\x80\x60\x20\x50" + lzw[place + 4 :]),
        (".tif", tiff_bytes(np.stack([values] * 3), photometric="minisblack")),
        (".tif", tiff_bytes(np.full((20, 20), np.nan, np.float32))),
        (".png", png.replace(b"IDAT", b"IDAX")),
        (".png", pillow_bytes(np.zeros((3, 3), np.uint8), "PNG")),
        (".jpg", pillow_bytes(Image.new("CMYK", (20, 20)), "JPEG")),
    )
    return kinds[number % len(kinds)]


def make_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Good and broken files in three folders; their names within `folder`."""
    generator = np.random.default_rng(0)
    good, broken = [], []
    for number in range(FILES):
        is_broken = number % BROKEN_SHARE == BROKEN_SHARE - 1
        make = broken_file if is_broken else good_file
        suffix, data = make(number // BROKEN_SHARE if is_broken else number, generator)
        name = Path(("", "sub folder", "ünder")[number % 3]) / f"{number:03} image{suffix}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        (broken if is_broken else good).append(name)
    return good, broken


class Run:
    """A run of the command, whose processes are known by a mark in their environment."""

    def __init__(self, log: Path) -> None:
        self.mark = f"SOAK={uuid.uuid4()}"
        name, value = self.mark.split("=")
        self.memory: list[int] = []
        command = (sys.executable, "-m", "denoise", "in", "-o", "out", "--recursive")
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, "--jobs", "2", "--skip-existing", "--quiet", *OPTIONS],
                env={**PROCESS_ENVIRONMENT, name: value},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def processes(self) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def wait(self, seconds: float) -> bool:
        """Whether it ended by itself; notes the largest memory of its processes meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return True
            sizes = [_resident(number) for number in self.processes()]
            self.memory.append(max(sizes, default=0))
            time.sleep(0.25)
        return False


def _resident(number: int) -> int:
    try:
        return int(Path(f"/proc/{number}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


def test_a_long_run_is_killed_and_resumed_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good, broken = make_folder(tmp_path / "in")
    before = contents(Path("in"))
    generator = np.random.default_rng(1)
    started, counts = time.monotonic(), []
    for number in range(KILLS):
        run = Run(Path(f"log{number}"))
        ended = run.wait(float(generator.uniform(4, 12)))
        assert not ended, Path(f"log{number}").read_text()
        victim = run.process.pid if number % 2 else int(generator.choice(run.processes()))
        os.kill(victim, signal.SIGKILL)
        if victim != run.process.pid:  # a worker died: its image fails, the others go on
            run.wait(2)
            run.process.kill()
        run.process.wait()
        assert _all_end(run), "processes are left"
        counts.append(len([path for path in Path("out").rglob("*") if path.is_file()]))
    run = Run(Path("log"))
    assert run.wait(1200)
    assert run.process.returncode == 1
    assert _all_end(run)
    seconds = time.monotonic() - started

    outputs = {path.relative_to("out") for path in Path("out").rglob("*") if path.is_file()}
    assert outputs == set(good)  # and no temporary file
    for name in good:
        noisy_image, result = read_image(Path("in") / name), read_image(Path("out") / name)
        assert (result.pixels.shape, result.sample_type) == (
            noisy_image.pixels.shape,
            noisy_image.sample_type,
        )
    errors = [line for line in Path("log").read_text().splitlines() if line.startswith("error: ")]
    assert sorted(line.split(": ")[1] for line in errors) == sorted(f"in/{one}" for one in broken)
    assert contents(Path("in")) == before
    quarter = len(run.memory) // 4
    early, late = max(run.memory[quarter : 2 * quarter]), max(run.memory[-quarter:])
    assert late < FLAT * early

    again = contents(Path("out"))
    run = Run(Path("log again"))
    assert run.wait(600)
    assert contents(Path("out")) == again
    print(
        f"\n{FILES} files, {len(broken)} of them broken, in {seconds:.0f} s; results after each"
        f" kill: {counts}; largest memory of a process {early >> 20} MB, later {late >> 20} MB"
    )


def _all_end(run: Run) -> bool:
    """Whether no process of a run is left after a few seconds."""
    until = time.monotonic() + 10
    while run.processes() and time.monotonic() < until:
        time.sleep(0.1)
    return not run.processes()
