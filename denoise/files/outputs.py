"""Writing files so that nothing is ever lost or half-written."""

from __future__ import annotations

import os
import platform
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from denoise.errors import OutputError
from denoise.files.bytes import is_zarr


def check_output(path: Path, suffixes: Iterable[str], *, overwrite: bool) -> None:
    """Find out before the work whether a file can be written.

    Raises
    ------
    OutputError
        If the name has another suffix, the file exists and `overwrite` is not set, or it
        cannot be made.
    """
    if path.suffix.lower() not in suffixes:
        known = " ".join(suffixes)
        raise OutputError(f"{path}: unknown file type {path.suffix!r}; use one of {known}")
    if os.path.isdir(path) and not is_zarr(path):
        raise OutputError(f"{path}: is a folder; give a file name")
    if not overwrite:
        refuse_existing([path])
    # A folder that is missing is made when the file is written.
    folder = next(one for one in path.absolute().parents if os.path.exists(one))
    probe = temporary_name(folder / path.name)
    try:
        with suppress(FileNotFoundError):
            os.lstat(path)  # finds names that are too long
        probe.touch()  # a killed process of our number may have left one
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise an OutputError if one of the files exists."""
    for path in paths:
        if os.path.exists(path):
            raise OutputError(
                f"{path}: exists already; use --overwrite to replace it or choose another name"
            )


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file in one go; see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a hidden file beside `path` to write to, which replaces it in the end.

    Others see the whole old file or the whole new one.

    Missing folders are made. A file that is replaced leaves its owner, mode and extended
    attributes to the new one. If that is not allowed, or the file has further names (hard links),
    it is filled anew once the hidden one is complete.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    temporary = temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not target.exists() or _inherits(temporary, target):
            temporary.replace(target)
        else:
            _refill(target, temporary)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `path` to fill, which replaces it in the end; see `atomic_file`.

    What is replaced is renamed first and removed last, so that for a moment nothing has the name.
    If the second renaming fails, the old folder gets its name back.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    temporary = temporary_name(target)
    old = temporary.with_suffix(".old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        temporary.mkdir()
        yield temporary
        if hasattr(os, "sync"):
            os.sync()
        if os.path.lexists(target):
            target.rename(old)
        try:
            temporary.rename(target)
        except OSError:
            if os.path.lexists(old):
                old.rename(target)
            raise
        remove(old)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _inherits(new: Path, old: Path) -> bool:
    """Give a file the owner, mode and attributes of another; returns whether that can be done."""
    before, after = old.stat(), new.stat()
    if before.st_nlink > 1:
        return False
    if (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid):
        try:
            os.chown(new, before.st_uid, before.st_gid)
        except OSError:
            return False
    shutil.copymode(old, new)
    for name in os.listxattr(old) if hasattr(os, "listxattr") else ():
        with suppress(OSError):  # such as labels that only the system sets
            os.setxattr(new, name, os.getxattr(old, name))
    return True


def _refill(path: Path, complete: Path) -> None:
    """Copy what a complete file holds into a file that stays where it is."""
    with path.open("r+b") as file, complete.open("rb") as source:
        try:
            shutil.copyfileobj(source, file)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            kept = path.with_name(f"{path.name}.{os.getpid()}.complete")
            complete.replace(kept)
            raise OutputError(
                f"{path}: was written in part only: {error.strerror or error}; the whole result is"
                f" in {kept}"
            ) from None


def process_name(number: int | None = None) -> str:
    """A name for a process of this machine, by default this one, that no other machine uses.

    Containers on several machines that share a folder often have processes of the same number.
    """
    machine = zlib.crc32(platform.node().encode())
    return f"{machine:08x}-{os.getpid() if number is None else number}"


def temporary_name(path: Path, process: str | None = None) -> Path:
    """The hidden file or folder beside `path` that a process, by default this one, writes to."""
    name = zlib.crc32(os.fsencode(path.name))
    return path.with_name(f".denoise-{name:08x}-{process or process_name()}.tmp")
