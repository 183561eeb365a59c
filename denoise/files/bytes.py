"""Reading the bytes of an image: those of a file, a pipe, or the files of a folder."""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

from denoise.errors import ImageError

# Seconds to wait until a program opens a pipe for writing, and between two attempts.
PATIENCE, PAUSE = 5.0, 0.02
PIECE = 2**20
# The fingerprint of a large file is made of so many pieces of it.
PIECES = 32
# A folder of Zarr, format 2 or 3, contains at least one of these files.
ZARR = (".zgroup", ".zattrs", ".zarray", "zarr.json")


def is_pipe(path: Path) -> bool:
    """Whether a file is a named pipe, which can be read only once."""
    return stat.S_ISFIFO(_mode(path))


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder of Zarr, which is treated like a file."""
    return any(os.path.isfile(path / name) for name in ZARR)


def content_of(source: Path | bytes, count: int = -1) -> bytes | Path:
    """What shows a format: bytes or a folder of Zarr as it is, or the first bytes of a file."""
    if isinstance(source, bytes) or is_zarr(source):
        return source
    return read_bytes(source, count)


def read_bytes(path: Path, count: int = -1) -> bytes:
    """The first bytes of a file, or all of them.

    Raises
    ------
    ImageError
        If it is a device, a pipe that no program writes into, or cannot be read.
    """
    mode = _mode(path)
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise ImageError(f"{path}: is a device, not a file; use - to read from standard input")
    try:
        if stat.S_ISFIFO(mode):
            return _read_pipe(path)[: None if count < 0 else count]
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None


def contents(file: BinaryIO) -> bytes | mmap.mmap:
    """All bytes of an open file; a file on a disk is mapped, and read as its bytes are needed."""
    if isinstance(file, io.BytesIO):
        return file.getvalue()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def fingerprint(path: Path) -> str:
    """SHA-256 of the size of a file, or of those in a folder, and of pieces of what they hold.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    found = hashlib.sha256()
    if path.is_dir():  # the names and sizes of a folder's files, and the bytes of small ones
        for one in sorted(file for file in path.rglob("*") if file.is_file()):
            size = one.stat().st_size
            found.update(f"{one.relative_to(path)} {size}".encode())
            if size < PIECE:
                found.update(one.read_bytes())
        return found.hexdigest()
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            found.update(str(size).encode())
            for start in range(0, size, max(PIECE, size // PIECES)):
                file.seek(start)
                found.update(file.read(PIECE))
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None
    return found.hexdigest()


def _mode(path: Path) -> int:
    """The mode of a file, or 0 if it cannot be found out."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _read_pipe(path: Path) -> bytes:
    """Read all that is written into a pipe, if a program opens it soon.

    Without waiting, a pipe reads as empty while no program has opened it, and as busy once one has.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as pipe:
        until = time.monotonic() + PATIENCE
        while (first := pipe.read(PIECE)) == b"":
            if time.monotonic() > until:
                raise ImageError(f"{path}: is a pipe that no program writes into")
            time.sleep(PAUSE)
        os.set_blocking(descriptor, True)
        return (first or b"") + pipe.read()
