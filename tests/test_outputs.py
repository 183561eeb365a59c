"""Writing image files: whole or not at all, and nothing is replaced unasked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from image_samples import random_samples
from PIL import Image

from denoise.errors import OutputError
from denoise.files.formats import IMAGE_SUFFIXES
from denoise.files.images import read_image, write_image
from denoise.files.outputs import (
    check_output,
    process_name,
    temporary_name,
    write_atomically,
)


def pixels(*shape: int) -> np.ndarray:
    return random_samples("uint8", shape)


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def test_existing_files_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = save(tmp_path / "out.png", pixels(8, 8))
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"exists already; use --overwrite"):
        write_image(path, pixels(4, 4), overwrite=False)
    assert path.read_bytes() == before
    path.chmod(0o640)
    write_image(path, pixels(4, 4), overwrite=True)
    assert read_image(path).pixels.shape == (4, 4)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    write_image(tmp_path / "out.png", pixels(4, 4), overwrite=False)
    (tmp_path / "plain").touch()
    modes = [(tmp_path / name).stat().st_mode for name in ("out.png", "plain")]
    assert modes[0] == modes[1]


def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    target = save(tmp_path / "target.png", pixels(8, 8))
    link = tmp_path / "link.png"
    link.symlink_to(target)
    write_image(link, pixels(4, 4), overwrite=True)
    assert link.is_symlink()
    assert read_image(target).pixels.shape == (4, 4)


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = save(tmp_path / "out.png", pixels(8, 8))
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "write":
        monkeypatch.setattr(os, "fsync", no_space)
    else:
        monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OutputError, match=r"out\.png: cannot be written: No space left on device"):
        write_image(path, pixels(4, 4), overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path: Path) -> None:
    """In a container every process may be number 1."""
    path = tmp_path / "out.png"
    temporary_name(path).write_bytes(b"half of a file")
    write_image(path, pixels(4, 4), overwrite=False)
    assert list(tmp_path.iterdir()) == [path]
    temporary_name(path).write_bytes(b"half of a file")
    write_atomically(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file.txt/folder/out.png", "cannot be written: Not a directory"),
        ("out.xyz", "unknown file type '.xyz'; use one of .png"),
        ("out", "unknown file type ''"),
        ("folder.png", "is a folder"),
    ],
)
def test_outputs_that_cannot_be_are_refused_early(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(OutputError, match=message):
        check_output(tmp_path / name, IMAGE_SUFFIXES, overwrite=True)


def test_missing_folders_are_made_when_the_file_is_written_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out.png"
    check_output(path, IMAGE_SUFFIXES, overwrite=False)
    assert list(tmp_path.iterdir()) == []
    write_image(path, pixels(4, 4), overwrite=False)
    assert [entry.name for entry in path.parent.iterdir()] == ["out.png"]


def test_a_file_with_two_names_keeps_both(tmp_path: Path) -> None:
    path = save(tmp_path / "out.png", pixels(8, 8))
    path.with_name("second.png").hardlink_to(path)
    for side in (4, 16):
        write_image(path, pixels(side, side), overwrite=True)
        assert read_image(tmp_path / "second.png").pixels.shape == (side, side)
    assert path.stat().st_nlink == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.png", "second.png"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_a_file_that_is_replaced_stays(tmp_path: Path) -> None:
    path = save(tmp_path / "out.png", pixels(8, 8))
    os.chown(path, 12, 34)
    write_image(path, pixels(4, 4), overwrite=True)
    assert (path.stat().st_uid, path.stat().st_gid) == (12, 34)


def test_a_file_of_somebody_else_is_filled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError

    path = save(tmp_path / "out.png", pixels(8, 8))
    number = path.stat().st_ino
    own = os.stat_result
    monkeypatch.setattr("os.chown", refuse)
    before = Path.stat

    def foreign(self: Path, **options: bool) -> own:
        found = before(self, **options)
        return own((*found[:4], 77, *found[5:])) if self.name == "out.png" else found

    monkeypatch.setattr(Path, "stat", foreign)
    write_image(path, pixels(4, 4), overwrite=True)
    monkeypatch.undo()
    assert path.stat().st_ino == number
    assert read_image(path).pixels.shape == (4, 4)


def test_what_could_be_written_in_part_only_is_complete_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    path.with_name("second").hardlink_to(path)
    written: list[int] = []
    before = os.fsync

    def fail_at_the_second(number: int) -> None:
        written.append(number)
        if len(written) > 1:
            raise OSError(28, "No space left on device")
        before(number)

    monkeypatch.setattr("os.fsync", fail_at_the_second)
    with pytest.raises(OutputError, match=r"written in part only: No space.*is in .*complete"):
        write_atomically(path, b"new content")
    (kept,) = tmp_path.glob("*.complete")
    assert kept.read_bytes() == b"new content"


def test_processes_of_the_same_number_on_other_machines_write_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for machine in ("node1", "node2"):
        monkeypatch.setattr("denoise.files.outputs.platform.node", lambda machine=machine: machine)
        names |= {
            temporary_name(tmp_path / "a.png"),
            temporary_name(tmp_path / "a.png", process_name(1)),
        }
    assert len(names) == 4
