"""Compiled loops kept in files between runs, whatever happens to the files.

numba's own cache ends a run at a damaged file and at a full disk. Here a file has a checksum, what
does not fit is compiled anew, and what cannot be written is left out.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

CHECKSUM = hashlib.sha256


class LoopCache(FunctionCache):
    """Machine code of a loop for the types of arguments that it was called with.

    Raises
    ------
    RuntimeError
        If there is no folder for it that can be written.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        folder = Path(self._impl.locator.get_cache_path())
        source = Path(function.__code__.co_filename).parent
        self._cache_file: Any = CheckedFiles(folder, self._impl.filename_base, _stamp(source))

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled loop, or None if it has to be compiled."""
        try:
            return super().load_overload(signature, target)  # type: ignore[no-untyped-call]
        except Exception:  # whatever an unpickler can meet
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep a compiled loop if there is room for it."""
        with suppress(OSError):
            super().save_overload(signature, compiled)  # type: ignore[no-untyped-call]


@cache
def _stamp(folder: Path) -> bytes:
    """Names the state of all loops in a folder, since they contain one another."""
    return CHECKSUM(b"".join(p.read_bytes() for p in sorted(folder.glob("*.py")))).digest()


class CheckedFiles:
    """One file for each key, valid for one state of the source.

    Parameters
    ----------
    name : what their names begin with
    stamp : names the state of the source
    """

    def __init__(self, folder: Path, name: str, stamp: bytes) -> None:
        self._folder, self._name = folder, name
        self._stamp = stamp + numba.__version__.encode()

    def load(self, key: object) -> Any:
        """What was saved under a key; None if that is nothing, damaged or out of date."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        length = CHECKSUM().digest_size
        if self._checksum(data[length:]) != data[:length]:
            return None
        return pickle.loads(data[length:])

    def save(self, key: object, content: Any) -> None:
        """Write a file at once or not at all."""
        data = pickle.dumps(content, protocol=-1)
        path = self._path(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(self._checksum(data) + data)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _path(self, key: object) -> Path:
        return self._folder / f"{self._name}.{CHECKSUM(repr(key).encode()).hexdigest()[:16]}.loop"

    def _checksum(self, data: bytes) -> bytes:
        return CHECKSUM(self._stamp + data).digest()
