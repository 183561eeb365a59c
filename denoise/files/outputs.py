"""Writing files so that nothing is ever lost or half-written."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from denoise.errors import OutputError


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
    if os.path.isdir(path):
        raise OutputError(f"{path}: is a folder; give a file name")
    if not overwrite:
        refuse_existing([path])
    # A folder that is missing is made when the file is written.
    folder = next(one for one in path.absolute().parents if os.path.exists(one))
    probe = temporary_name(folder / path.name)
    try:
        with suppress(FileNotFoundError):
            os.lstat(path)  # finds names that are too long
        probe.touch()  # or one is left by a process of our number that was killed
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
    """Write to a hidden neighbour, then rename: readers see the old file or the new one.

    Missing folders are made.

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
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def temporary_name(path: Path, process: int | None = None) -> Path:
    """The hidden file beside `path` that a process, by default this one, writes first."""
    number = os.getpid() if process is None else process
    return path.with_name(f".denoise-{zlib.crc32(os.fsencode(path.name)):08x}-{number}.tmp")
