"""Folders of OME-Zarr: written as a whole or not at all, and found as one image."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from image_samples import tiff_bytes

from denoise.errors import ImageError, OutputError
from denoise.files.images import check_writable, encode_image, read_image, write_image
from denoise.files.inputs import find_images, is_folder
from denoise.files.outputs import atomic_folder, check_output
from denoise.files.series import open_series

zarr = pytest.importorskip("zarr", reason="needs zarr: pip install '.[zarr]'")
from zarr_samples import copy, stack  # noqa: E402


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_only_a_whole_ome_zarr_image_is_written_as_one() -> None:
    stack()
    Path("a.tif").write_bytes(tiff_bytes(np.zeros((4, 5), np.uint8)))
    for image in (read_image(Path("in.zarr"), frame=2), read_image(Path("a.tif"))):
        with pytest.raises(
            OutputError, match="OME-Zarr is written only of all images of an OME-Zarr"
        ):
            check_writable(Path("out.zarr"), image)
        with pytest.raises(ImageError, match=r"of an OME-Zarr; use \.png or"):
            write_image(Path("out.zarr"), image.pixels, like=image, overwrite=False)
    with open_series(Path("in.zarr")) as series:
        assert series is not None
        with pytest.raises(ImageError, match="OME-Zarr is a folder; give it a name"):
            encode_image(series.like.pixels, series.like)
    with pytest.raises(ImageError, match="lies in the folder of its source"):
        copy("in.zarr", "in.zarr/out.zarr")
    assert not Path("in.zarr/out.zarr").exists()
    assert not Path("out.zarr").exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    array = stack()
    with pytest.raises(KeyboardInterrupt), atomic_folder(Path("out.zarr")) as folder:
        shutil.copytree("in.zarr", folder, dirs_exist_ok=True)
        raise KeyboardInterrupt
    assert [one.name for one in tmp_path.iterdir()] == ["in.zarr"]
    copy("in.zarr", "out.zarr")
    full = pytest.raises(OutputError, match=r"out\.zarr: cannot be written: full")
    with full, atomic_folder(Path("out.zarr")):
        raise OSError("full")
    np.testing.assert_array_equal(zarr.open_group("out.zarr", mode="r")["s0"][...], array)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack()
    copy("in.zarr", "out.zarr")
    Path("out.zarr/old").touch()
    with pytest.raises(OutputError, match=r"out\.zarr: exists already; use --overwrite"):
        check_output(Path("out.zarr"), (".zarr",), overwrite=False)
    check_output(Path("out.zarr"), (".zarr",), overwrite=True)
    copy("in.zarr", "out.zarr")
    assert not Path("out.zarr/old").exists()
    Path("out.zarr/old").touch()
    rename, renamed = Path.rename, []

    def fails_once(self: Path, target: Path) -> Path:
        renamed.append(self.name)
        if len(renamed) == 2:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_once)
    with pytest.raises(OutputError, match=r"out\.zarr: cannot be written: no"):
        copy("in.zarr", "out.zarr")
    assert Path("out.zarr/old").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]
    # A folder of other things is the user's.
    Path("other.zarr").mkdir()
    with pytest.raises(OutputError, match=r"other\.zarr: is a folder; give a file name"):
        check_output(Path("other.zarr"), (".zarr",), overwrite=True)


def test_a_folder_of_zarr_is_found_as_one_image() -> None:
    stack("in/b.ome.zarr")
    stack("in/sub/c.zarr", version=3)
    stack("in/.hidden.zarr")
    Path("in/a.png").touch()
    Path("in/plain.zarr").mkdir()
    Path("in/plain.zarr/d.png").touch()

    def names(*inputs: str, recursive: bool = False) -> list[str]:
        sources, problems = find_images(inputs, (".png", ".zarr"), recursive=recursive)
        assert problems == []
        return [str(one.path) for one in sources]

    assert names("in") == ["in/a.png", "in/b.ome.zarr"]
    assert names("in", recursive=True) == [
        "in/a.png", "in/b.ome.zarr", "in/plain.zarr/d.png", "in/sub/c.zarr"
    ]  # fmt: skip
    assert names("in/b.ome.zarr/") == names("in/*.zarr") == ["in/b.ome.zarr"]
    assert is_folder("in/plain.zarr")
    assert not is_folder("in/b.ome.zarr/")
