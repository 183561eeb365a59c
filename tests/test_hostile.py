"""Odd and hostile input, end to end: one line that names the file, and nothing is lost."""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import contents, noisy_file, run_cli
from image_samples import tiff_bytes

from denoise.files.images import read_image, write_image

pytestmark = pytest.mark.usefixtures("tiny_preset")
SIGMA = ("--sigma", "20")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good image and an earlier result."""
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("good.png"))
    Path("out.png").write_bytes(b"an earlier result")
    return tmp_path


def gigantic_png(side: int) -> bytes:
    """A small PNG file that claims to be `side` × `side`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def odd_file(kind: str) -> bytes:
    good = Path("good.png").read_bytes()
    files = {
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "text": b"hello\n",
        "bomb": gigantic_png(30_000),
        "gigantic": gigantic_png(2**31 - 1),
        "nan": tiff_bytes(np.full((24, 24), np.nan, np.float32)),
        "some nan": tiff_bytes(np.where(np.eye(24) > 0, np.inf, 1).astype(np.float32)),
    }
    return files[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "truncated"),
        ("empty", "is empty, not an image; expected PNG, "),
        ("text", "not an image that can be read; expected PNG, "),
        ("bomb", "30000x30000 is more than 89478485 pixels; cut it into smaller images or"),
        ("gigantic", "2147483647x2147483647 is more than 89478485 pixels"),
        ("nan", "576 pixels are not finite (first at row 0, column 0); use --fill-missing"),
        ("some nan", "24 pixels are not finite (first at row 0, column 0); use --fill-missing"),
    ],
)
def test_files_that_are_no_good(kind: str, message: str) -> None:
    Path("odd.tif").write_bytes(odd_file(kind))
    before = contents(Path())
    code, stdout, stderr = run_cli("odd.tif", *SIGMA)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("error: odd.tif: ")
    assert message in stderr
    assert stderr.count("\n") == 1
    assert contents(Path()) == before


def test_missing_pixels_are_filled_in_if_told_and_if_there_are_others() -> None:
    Path("odd.tif").write_bytes(odd_file("some nan"))
    assert run_cli("odd.tif", "--sigma", "0.1", "--fill-missing", "-q") == (0, "", "")
    assert np.allclose(read_image(Path("odd_denoised.tif")).pixels, 1, atol=0.05)
    Path("odd.tif").write_bytes(odd_file("nan"))
    code, _, stderr = run_cli("odd.tif", "--sigma", "0.1", "--fill-missing", "--overwrite")
    assert code == 1
    assert "error: odd.tif: the image holds no value at all" in stderr


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (3, 30)])
def test_images_smaller_than_a_patch(shape: tuple[int, int]) -> None:
    write_image(Path("small.png"), np.full(shape, 9.0), overwrite=False)
    code, _, stderr = run_cli("small.png", *SIGMA)
    assert code == 1
    size = f"{shape[1]}x{shape[0]}"
    assert f"error: small.png: the image is {size} pixels, smaller than one 4x4 patch" in stderr
    code, _, stderr = run_cli("small.png")
    assert code == 1
    assert "error: small.png: " in stderr
    assert "give --sigma" in stderr


@pytest.mark.parametrize("value", [0, 97, 255])
def test_black_constant_and_saturated_images_come_back_as_they_are(value: int) -> None:
    write_image(Path("flat.png"), np.full((30, 24), value), overwrite=False)
    code, _, stderr = run_cli("flat.png")
    assert code == 0
    assert "note: flat.png: there is no noise to speak of; written as it is" in stderr
    assert bool((read_image(Path("flat_denoised.png")).pixels == value).all())
    assert run_cli("flat.png", *SIGMA, "--overwrite")[0] == 0
    assert np.abs(read_image(Path("flat_denoised.png")).pixels - value).max() <= 1


def test_a_16_bit_colour_image_without_noise_comes_back_bit_by_bit() -> None:
    rows, columns = np.mgrid[:32, :32]
    samples = np.stack([rows // 16 * 30_001, columns // 16 * 7, 65_535 - rows // 16], -1)
    Path("deep.tif").write_bytes(tiff_bytes(samples.astype(np.uint16)))
    assert run_cli("deep.tif", "-o", "deep.png", "-q")[0] == 0
    image = read_image(Path("deep.png"))
    assert image.sample_type == "uint16"
    assert np.array_equal(np.rint(image.pixels * 257).astype(np.int64), samples)


@pytest.mark.parametrize("name", ["a b.png", "été-雪.png", "-dash.png", "[1].png", "%d.png"])
def test_odd_names(name: str) -> None:
    os.rename("good.png", name)
    code, stdout, _ = run_cli(*SIGMA, "--", name)
    assert code == 0
    result = Path(name).stem + "_denoised.png"
    assert stdout.rstrip().endswith(f"-> {result}")
    assert Path(result).exists()


def test_output_over_input_needs_overwrite_and_keeps_a_link() -> None:
    before = contents(Path())
    code, _, stderr = run_cli("good.png", "-o", "good.png", *SIGMA)
    assert code == 1
    assert stderr.startswith("error: good.png: exists already; use --overwrite")
    assert contents(Path()) == before
    os.symlink("good.png", "link.png")
    assert run_cli("good.png", "-o", "link.png", "--overwrite", *SIGMA)[0] == 0
    assert Path("link.png").is_symlink()
    assert Path("good.png").read_bytes() != before["good.png"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read and write all")
def test_folders_and_files_without_permission() -> None:
    Path("locked").mkdir()
    Path("locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
    Path("secret.png").write_bytes(Path("good.png").read_bytes())
    Path("secret.png").chmod(0)
    code, _, stderr = run_cli("secret.png", *SIGMA)
    assert (code, stderr) == (1, "error: secret.png: cannot be read: Permission denied\n")
    code, _, stderr = run_cli("good.png", "-o", "locked/out.png", *SIGMA)
    assert code == 1
    assert stderr == "error: locked/out.png: cannot be written: Permission denied\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_leaves_the_earlier_result(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(Path())

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fail)
    code, stdout, stderr = run_cli("good.png", "-o", "out.png", "--overwrite", "-q", *SIGMA)
    assert (code, stdout) == (1, "")
    assert stderr == f"error: out.png: cannot be written: {os.strerror(number)}\n"
    assert contents(Path()) == before


def test_a_folder_where_a_file_is_wanted() -> None:
    Path("folder.png").mkdir()
    code, _, stderr = run_cli("good.png", "--reference", "folder.png", *SIGMA)
    assert code == 0  # a folder of references, without one
    assert "warning: good.png: no image of this name in folder.png" in stderr
    code, _, stderr = run_cli("good.png", "--figure", "folder.png", "--overwrite", *SIGMA)
    assert code == 1
    assert "error: folder.png: is a folder; give a file name" in stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_nobody_writes_into_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("denoise.files.bytes.PATIENCE", 0.1)
    os.mkfifo("pipe.png")
    code, _, stderr = run_cli("pipe.png", "good.png", "-o", "out/", *SIGMA)
    assert code == 1
    assert "error: pipe.png: is a pipe that no program writes into" in stderr
    assert os.listdir("out") == ["good.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_once_however_slow_its_writer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denoise.files.bytes.PATIENCE", 0.5)
    os.mkfifo("pipe.png")
    data = Path("good.png").read_bytes()

    def write() -> None:
        with open("pipe.png", "wb", buffering=0) as pipe:
            time.sleep(1)
            pipe.write(data[:100])
            time.sleep(0.2)
            pipe.write(data[100:])

    writer = threading.Thread(target=write)
    writer.start()
    assert run_cli("pipe.png", "-o", "piped.png", *SIGMA)[0] == 0
    writer.join()
    run_cli("good.png", "-o", "direct.png", *SIGMA)
    assert Path("piped.png").read_bytes() == Path("direct.png").read_bytes()
