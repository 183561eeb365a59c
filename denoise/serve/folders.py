"""Private folders of the server, and those that a server left that was killed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

# The number of the process and a random part follow, so that no two names are alike.
PREFIX = "denoise-serve-"


def make_folder() -> Path:
    """A new folder that only this user may enter."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove this user's folders whose server is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        match = re.match(rf"{PREFIX}(\d+)-", folder.name)
        if match is None or folder.is_symlink() or not _is_mine(folder):
            continue
        if not _is_running(int(match[1])):
            remove_folder(folder)


def _is_mine(folder: Path) -> bool:
    """Whether it is this user's; where users have no number, nothing is said to be."""
    try:
        return hasattr(os, "getuid") and folder.lstat().st_uid == os.getuid()
    except OSError:  # it is gone
        return False


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True
