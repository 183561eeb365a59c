"""Which images a command means: files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """An image that was found.

    Attributes
    ----------
    path : the file
    relative : its name within the folder or pattern that was searched; the bare name if the file
        was named
    """

    path: Path
    relative: Path


def find_images(
    inputs: Sequence[str], suffixes: Iterable[str], *, recursive: bool, skip_stem: str = ""
) -> tuple[list[Source], list[str]]:
    """All images that `inputs` mean, each once, in the order given; folders sorted by name.

    Parameters
    ----------
    inputs : files, folders, and patterns such as "*.png" for shells that leave them alone
    suffixes : what an image file in a folder ends with, lower case
    recursive : search folders in folders too; linked ones are not followed
    skip_stem : files in a folder whose name ends so, before the suffix, are left out

    Returns
    -------
    sources : a file that was named need not be there
    problems : one line for each folder or pattern in which there is no image
    """
    suffixes = tuple(suffixes)
    sources: dict[Path, Source] = {}
    problems = []
    for text in inputs:
        found = list(_find(text, suffixes, recursive=recursive, skip_stem=skip_stem))
        for source in found:
            sources.setdefault(source.path.resolve(), source)
        if not found:
            hint = "" if recursive or not Path(text).is_dir() else "; --recursive looks deeper"
            what = f"holds no image ({' '.join(suffixes)})" if Path(text).is_dir() else "no match"
            problems.append(f"{text}: {what}{hint}")
    return list(sources.values()), problems


def _find(
    text: str, suffixes: tuple[str, ...], *, recursive: bool, skip_stem: str
) -> Iterator[Source]:
    if Path(text).is_dir():
        for path in _images_in(Path(text), suffixes, recursive=recursive):
            if not (skip_stem and path.stem.endswith(skip_stem)):
                yield Source(path, path.relative_to(text))
    elif is_pattern(text):
        root = _before_pattern(text)
        for name in sorted(glob.glob(text, recursive=True)):
            if not Path(name).is_dir():
                yield Source(Path(name), Path(name).relative_to(root))
    else:
        yield Source(Path(text), Path(Path(text).name))


def is_folder(name: str) -> bool:
    """Whether a name means a folder: it is one, or it ends like one."""
    return name.endswith(("/", os.sep)) or Path(name).is_dir()


def is_pattern(name: str) -> bool:
    """Whether a name with wildcards means other files than one of this very name."""
    return glob.has_magic(name) and not Path(name).exists()


def _before_pattern(pattern: str) -> Path:
    """The folder that all matches lie in."""
    parts = Path(pattern).parts
    fixed = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed])


def _images_in(folder: Path, suffixes: tuple[str, ...], *, recursive: bool) -> Iterator[Path]:
    """Image files in a folder, hidden ones left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if recursive and not one.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield Path(parent) / name
