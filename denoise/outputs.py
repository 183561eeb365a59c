"""Writing files so that nothing is ever lost or half-written."""

from __future__ import annotations

import os
import shutil
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
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path}: exists already; use --overwrite to replace it or choose another name"
        )
    # A folder that is missing is made when the file is written.
    folder = next(one for one in path.absolute().parents if one.exists())
    probe = _temporary_name(folder / path.name)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Write to a hidden neighbour, then rename: readers see the old file or the new one.

    Missing folders are made.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = path.resolve()  # a symbolic link stays one
    temporary = _temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
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


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
