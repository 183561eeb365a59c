"""Files of several images: runs that are resumed, and damage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import run_cli
from image_samples import tiff_bytes
from series_samples import SIGMA, noisy_stack, report, write_stack


@pytest.fixture(autouse=True)
def folder(tiny_preset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with `stack.tif`."""
    monkeypatch.chdir(tmp_path)
    write_stack()


def test_a_damaged_image_costs_its_file_and_nothing_else() -> None:
    data = bytearray(tiff_bytes(noisy_stack(5), compression="zlib", photometric="minisblack"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start = file.pages[3].dataoffsets[0]  # type: ignore[union-attr]
    data[start : start + 40] = bytes(40)
    Path("a_bad.tif").write_bytes(data)
    Path("short.tif").write_bytes(Path("stack.tif").read_bytes()[:2000])
    code, stdout, stderr = run_cli(".", *SIGMA, "-o", "out")
    assert code == 1
    assert "1 done, 0 skipped, 2 failed" in stdout
    assert "a_bad.tif: image 4 of 5: damaged TIFF file: " in stderr
    assert [path.name for path in Path("out").iterdir()] == ["stack.tif"]


def test_a_run_is_resumed_and_files_of_the_user_stay() -> None:
    report("stack.tif", *SIGMA)
    assert report("stack.tif", *SIGMA, "--skip-existing")["status"] == "skipped"
    Path("stack_denoised.tif").write_bytes(tiff_bytes(noisy_stack(5), photometric="minisblack"))
    code, _, stderr = run_cli("stack.tif", *SIGMA, "--skip-existing")
    assert code == 1
    assert "stack_denoised.tif: exists already and holds 5 images, not 6; use --over" in stderr
    Path("stack_denoised.tif").write_bytes(b"")
    assert report("stack.tif", *SIGMA, "--skip-existing")["status"] == "done"


def test_files_of_the_user_beside_a_result_stay() -> None:
    for name in ("r.tif", "m.npz"):
        Path(name).write_bytes(b"mine")
    Path("t.tif").write_bytes(tiff_bytes(noisy_stack(3), photometric="minisblack"))
    extras = ["--residual", "r.npy", "--save-model", "m.npz"]
    np.save("r.npy", np.zeros((3, 4)))
    before = Path("r.npy").read_bytes()
    options = ["t.tif", *SIGMA, *extras, "--skip-existing"]
    assert report(*options)["status"] == "done"
    assert (Path("r.npy").read_bytes(), Path("m.npz").read_bytes()) == (before, b"mine")
    assert report(*options)["status"] == "skipped"
    Path("r.npy").unlink()
    written = Path("t_denoised.tif").stat().st_mtime_ns
    assert report(*options)["status"] == "done"
    assert Path("t_denoised.tif").stat().st_mtime_ns == written
    assert np.load("r.npy").shape == (3, 24, 24)


def test_a_damaged_result_is_made_anew() -> None:
    stack = tiff_bytes(noisy_stack(3), compression="zlib", photometric="minisblack")
    Path("t.tif").write_bytes(stack)
    assert report("t.tif", *SIGMA)["status"] == "done"
    whole = Path("t_denoised.tif").read_bytes()
    with tifffile.TiffFile("t_denoised.tif") as file:
        start = file.pages[1].dataoffsets[0]  # type: ignore[union-attr]
    damaged = bytearray(whole)
    damaged[start : start + 40] = bytes(40)
    Path("t_denoised.tif").write_bytes(damaged)
    assert report("t.tif", *SIGMA, "--skip-existing")["status"] == "done"
    assert Path("t_denoised.tif").read_bytes() == whole
