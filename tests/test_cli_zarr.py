"""OME-Zarr images on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import contents, run_cli, step_image
from typer.testing import CliRunner

from denoise.cli.main import app
from denoise.files.samples import to_8bit
from denoise.files.series import SeriesWriter

zarr = pytest.importorskip("zarr", reason="needs zarr: pip install '.[zarr]'")
from zarr_samples import metadata_files, write_ome_zarr  # noqa: E402

pytestmark = pytest.mark.usefixtures("tiny_preset")
SIGMA = ["--sigma", "20"]
NAME = "cells.ome.zarr"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a time lapse of two channels."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).normal(0, 20, (2, 2, 24, 24))
    write_ome_zarr(Path(NAME), to_8bit(step_image() + noise), "tcyx", levels=((2, 2, 12, 12),))
    return tmp_path


def level(path: str, number: int = 0) -> np.ndarray:
    array: np.ndarray = zarr.open_group(path, mode="r")[f"s{number}"][...]
    return array


def report(*arguments: str) -> dict[str, Any]:
    code, stdout, stderr = run_cli(*arguments, "--json")
    assert code == 0, stderr
    found: dict[str, Any] = json.loads(stdout)
    return found


def refused(*arguments: str) -> str:
    """The only line of an error."""
    code, _, stderr = run_cli(*arguments, "--quiet")
    assert code == 1
    assert stderr.count("\n") == 1
    return stderr


def test_all_images_of_a_folder_are_denoised_and_all_else_stays() -> None:
    before = contents(Path(NAME))
    found = report(NAME, *SIGMA, "-o", "out.ome.zarr")
    assert (found["images"], found["axes"]) == (4, {"T": 2, "C": 2})
    assert metadata_files(Path("out.ome.zarr")) == metadata_files(Path(NAME))
    noisy, denoised = level(NAME), level("out.ome.zarr")
    for one, other in zip(noisy.reshape(4, 24, 24), denoised.reshape(4, 24, 24), strict=True):
        assert np.std(other - step_image()) < 0.7 * np.std(one - step_image())
    blocks = denoised.reshape(2, 2, 12, 2, 12, 2).mean((3, 5))
    np.testing.assert_array_equal(level("out.ome.zarr", 1), np.rint(blocks))
    assert contents(Path(NAME)) == before


def test_it_is_denoised_like_a_tiff_file_of_the_same_images() -> None:
    tifffile.imwrite("cells.tif", level(NAME), imagej=True, metadata={"axes": "TCYX"})
    report("cells.tif", *SIGMA, "-o", "out.tif")
    report(NAME, *SIGMA, "-o", "out.zarr", "--residual", "r.tif", "--uncertainty", "u.npy")
    np.testing.assert_array_equal(level("out.zarr"), tifffile.imread("out.tif"))
    removed = level(NAME).astype(float) - level("out.zarr")
    written = tifffile.imread("r.tif").reshape(removed.shape)
    np.testing.assert_allclose(written, removed, atol=1e-4)
    assert np.load("u.npy").shape == (2, 2, 24, 24)
    found = report(NAME, *SIGMA, "-o", "other.tif")
    other = tifffile.imread("other.tif").reshape(removed.shape)
    np.testing.assert_array_equal(other, level("out.zarr"))
    assert any(
        "TIFF has no place for the attributes of OME-Zarr" in note for note in found["notes"]
    )


def test_an_image_alone_is_denoised_like_other_images() -> None:
    write_ome_zarr(Path("one.zarr"), level(NAME)[0, 0], "yx", version=3, levels=((12, 12),))
    found = report("one.zarr", *SIGMA, "--figure", "f.png", "--report", "pages")
    assert (found["output"], found["images"]) == ("one_denoised.zarr", None)
    assert Path("f.png").exists()
    assert Path("pages/one.html").exists()
    np.testing.assert_array_equal(
        level("one_denoised.zarr", 1),
        np.rint(level("one_denoised.zarr").reshape(12, 2, 12, 2).mean((1, 3))),
    )


def test_one_image_of_several_goes_to_another_format() -> None:
    report(NAME, "--frame", "3", *SIGMA, "-o", "third.tif")
    assert tifffile.imread("third.tif").shape == (24, 24)
    assert "written only of all images of an OME-Zarr; use .png or" in refused(NAME, "--frame", "3")
    assert refused(NAME, *SIGMA, "-o", "x.png").startswith("error: x.png: PNG holds one image")
    assert refused(NAME, "-o", "-") == (
        f"error: {NAME}: is a folder, and so is its result; name it with -o\n"
    )
    assert "--figure is about one; choose it with --frame" in refused(NAME, "--figure", "f.png")
    assert refused(NAME, "--residual", "r.zarr").startswith("error: r.zarr: unknown file type")


def test_folders_that_exist_are_skipped_or_replaced_as_a_whole(folder: Path) -> None:
    report(NAME, *SIGMA, "-o", "out.zarr")
    Path("out.zarr/mine").touch()
    assert "out.zarr: exists already; use --overwrite" in refused(NAME, *SIGMA, "-o", "out.zarr")
    assert report(NAME, "-o", "out.zarr", "--skip-existing")["status"] == "skipped"
    assert Path("out.zarr/mine").exists()
    report(NAME, *SIGMA, "-o", "out.zarr", "--overwrite")
    assert not Path("out.zarr/mine").exists()
    denoised = level("out.zarr")
    report(NAME, *SIGMA, "-o", NAME, "--overwrite")
    np.testing.assert_array_equal(level(NAME), denoised)
    assert sorted(one.name for one in folder.iterdir()) == [NAME, "out.zarr"]
    Path("out.zarr/s0/1.1.1.1").write_bytes(b"")
    assert report(NAME, *SIGMA, "-o", "out.zarr", "--skip-existing")["status"] == "done"
    assert level("out.zarr").shape == denoised.shape


def test_nothing_is_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(NAME, "s0/1.1.0.0").write_bytes(b"damaged")
    line = refused(NAME, *SIGMA, "-o", "out.zarr")
    assert line.startswith(f"error: {NAME}: image 4 of 4: damaged OME-Zarr image: s0/1.1.0.0")
    Path(NAME, "s0/1.1.0.0").unlink()
    write = SeriesWriter.write

    def interrupted(self: SeriesWriter, *arguments: Any) -> None:
        write(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(SeriesWriter, "write", interrupted)
    assert run_cli(NAME, *SIGMA, "-o", "out.zarr")[0] == 130
    assert [one.name for one in folder.iterdir()] == [NAME]


def test_parts_are_joined_and_finish_says_what_is_left() -> None:
    report(NAME, *SIGMA, "-o", "alone.zarr")
    options = [NAME, *SIGMA, "-o", "out.zarr"]
    finish = ["finish", *options, "--device", "cpu"]
    assert run_cli(*options, "--shard", "2/2")[0] == 0
    found = CliRunner().invoke(app, finish)
    assert (found.exit_code, "images 1, 3 of it are not done" in found.stdout) == (1, True)
    assert run_cli(*options, "--shard", "1/2")[0] == 0
    whole, alone = contents(Path("out.zarr")), contents(Path("alone.zarr"))
    assert list(whole.values()) == [alone[one.replace("out", "alone", 1)] for one in whole]
    assert not Path("out.zarr.parts").exists()
    assert CliRunner().invoke(app, finish).exit_code == 0


def test_a_folder_of_images_is_searched() -> None:
    shutil.move(NAME, f"in/{NAME}")
    tifffile.imwrite("in/a.tif", np.zeros((24, 24), np.uint8))
    code, stdout, stderr = run_cli("in", *SIGMA, "-o", "results", "--json")
    assert code == 0, stderr
    names = [json.loads(line)["output"] for line in stdout.splitlines()]
    assert names == ["results/a.tif", f"results/{NAME}"]
    assert level(f"results/{NAME}").shape == (2, 2, 24, 24)


def test_a_clean_one_measures_quality() -> None:
    clean = np.broadcast_to(to_8bit(step_image()), (2, 2, 24, 24))
    write_ome_zarr(Path("clean.zarr"), clean, "tcyx")
    found = report(f"{NAME}/", *SIGMA, "--reference", "clean.zarr", "-o", "out.zarr")
    assert found["psnr"] > found["psnr_noisy"] + 3


@pytest.mark.usefixtures("known_speed")
@pytest.mark.parametrize("frame", [[], ["--frame", "2"]])
def test_info_says_what_to_type(frame: list[str]) -> None:
    found = CliRunner().invoke(app, ["info", NAME, *frame, "--json", "--device", "cpu"])
    assert found.exit_code == 0
    values = json.loads(found.stdout)
    assert (values["format"], values["frames"], values["axes"]) == ("OME-Zarr", 4, {"T": 2, "C": 2})
    assert values["metadata"] == ["attributes of OME-Zarr"]
    end = " --frame 2 --device cpu -o cells.ome_denoised.tif" if frame else " --device cpu"
    assert values["command"] == f"denoise {NAME}{end}"


def test_the_page_opens_files_only() -> None:
    found = CliRunner().invoke(app, ["serve", NAME, "--no-browser"])
    assert found.exit_code == 2
    assert f"{NAME}: is a folder, and the page opens files" in found.stderr
