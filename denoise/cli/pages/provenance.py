"""Where a result comes from: what it takes to make it again, and to know that it is the same."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from denoise import __version__
from denoise.devices import processor_name
from denoise.files.bytes import read_bytes


def command() -> str:
    """The command that runs, fit for a shell."""
    return shlex.join(["denoise", *sys.argv[1:]])


def now() -> str:
    """Date, time and time zone."""
    return datetime.now().astimezone().isoformat(" ", "minutes")


def versions() -> str:
    """The versions of all that the bytes of a result depend on."""
    return (
        f"denoise {__version__}, Python {platform.python_version()}, NumPy {np.__version__},"
        f" PyTorch {torch.__version__}"
    )


def machine() -> str:
    """The processor and the system."""
    return f"{processor_name()}, {platform.system()} {platform.machine()}"


def sha256(path: Path | None) -> str | None:
    """The SHA-256 of a file, in hexadecimal; None if it cannot be read twice, as a pipe.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    if path is None or not path.is_file():
        return None
    return hashlib.sha256(read_bytes(path)).hexdigest()
