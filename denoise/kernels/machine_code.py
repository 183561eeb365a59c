"""Loops that are compiled for a CPU, and kept in files between runs whatever happens to the files.

numba's own cache ends a run at a damaged file and at a full disk. Here a file has a checksum, what
does not fit is compiled anew, and what cannot be written is left out. Of several processes that
need the same loop at the same time, one compiles it and the others read it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock

from denoise.kernels.file_lock import locked

CHECKSUM = hashlib.sha256
# Seconds to wait for another process that compiles; the largest loop takes ten on an idle core.
PATIENCE = 120.0


def compile_loop(function: Callable[..., Any]) -> Any:
    """Compile at the first call; machine code is kept for later runs where a folder allows it."""
    loop: Any = numba.njit(fastmath=True, nogil=True)(function)
    try:
        cache = LoopCache(function)
    except RuntimeError:  # neither this folder nor the user's cache can be written
        return loop
    compile_or_load = loop.compile

    def in_turn(signature: Any) -> Any:
        with global_compiler_lock, cache.turn(signature, loop.targetctx):
            return compile_or_load(signature)

    loop._cache, loop.compile = cache, in_turn
    return loop


def part_of_loop(function: Callable[..., Any]) -> Any:
    """Compile as a part of each loop that calls it.

    A function of its own would exist twice, once as it was compiled first and once as it is kept
    with the loop, and they may round differently: which one is called depends on whether the loop
    was compiled in the same process.
    """
    return numba.njit(fastmath=True, nogil=True, inline="always")(function)


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

    def turn(self, signature: Any, target: Any) -> AbstractContextManager[None]:
        """Where a loop is not kept yet: no other process that uses this folder compiles it too."""
        key = self._index_key(signature, target.codegen())  # type: ignore[no-untyped-call]
        if self._cache_file.holds(key):
            return nullcontext()
        return locked(self._cache_file.path(key).with_suffix(".lock"), PATIENCE)

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
        data = self._intact(key)
        return None if data is None else pickle.loads(data)

    def holds(self, key: object) -> bool:
        """Whether something was saved under a key that is neither damaged nor out of date."""
        return self._intact(key) is not None

    def save(self, key: object, content: Any) -> None:
        """Write a file at once or not at all."""
        data = pickle.dumps(content, protocol=-1)
        path = self.path(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(self._checksum(data) + data)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    def path(self, key: object) -> Path:
        """Where the content of a key is kept."""
        return self._folder / f"{self._name}.{CHECKSUM(repr(key).encode()).hexdigest()[:16]}.loop"

    def _intact(self, key: object) -> bytes | None:
        try:
            data = self.path(key).read_bytes()
        except OSError:
            return None
        length = CHECKSUM().digest_size
        return data[length:] if self._checksum(data[length:]) == data[:length] else None

    def _checksum(self, data: bytes) -> bytes:
        return CHECKSUM(self._stamp + data).digest()
