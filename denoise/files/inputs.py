"""Which images a command means: files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoise.files.bytes import is_zarr


@dataclass(frozen=True)
class Source:
    """An image that was found.

    Attributes
    ----------
    path : the file, or the folder of OME-Zarr
    relative : its name within the folder or pattern that was searched; the bare name if the file
        was named
    named : whether the file itself was named
    """

    path: Path
    relative: Path
    named: bool = True


def find_images(
    inputs: Sequence[str], suffixes: Iterable[str], *, recursive: bool, skip_stem: str = ""
) -> tuple[list[Source], list[str]]:
    """All images that `inputs` mean, each once, in the order given; folders sorted by name.

    Parameters
    ----------
    inputs : files, folders, and patterns such as "*.png" for shells that leave them alone
    suffixes : what an image file in a folder ends with, lower case
    recursive : search folders in folders too; linked ones are not followed
    skip_stem : files that are found, not named, and whose name ends so before the suffix, are
        left out

    Returns
    -------
    sources : a file that was named need not be there
    problems : one line for each folder or pattern in which there is no image, or that cannot be
        searched
    """
    suffixes = tuple(suffixes)
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for text in inputs:
        found = [
            source
            for source in _find(text, suffixes, problems, recursive=recursive)
            if source.named or not (skip_stem and source.path.stem.endswith(skip_stem))
        ]
        for source in found:
            sources.setdefault(os.path.abspath(source.path), source)
        if not found:
            folder = is_folder(text)
            hint = "" if recursive or not folder else "; --recursive looks deeper"
            what = f"holds no image ({' '.join(suffixes)})" if folder else "no match"
            problems.append(f"{text}: {what}{hint}")
    return list(sources.values()), problems


def _find(
    text: str, suffixes: tuple[str, ...], problems: list[str], *, recursive: bool
) -> Iterator[Source]:
    if is_folder(text) and os.path.isdir(text):
        for path in _images_in(text, suffixes, problems, recursive=recursive):
            yield Source(path, path.relative_to(text), named=False)
    elif is_pattern(text):
        root = _before_pattern(text)
        for name in sorted(glob.glob(text, recursive=True)):
            if os.path.isfile(name) or is_zarr(Path(name)):
                yield Source(Path(name), Path(name).relative_to(root), named=False)
    else:
        yield Source(Path(text), Path(Path(text).name))


def is_folder(name: str) -> bool:
    """Whether a name means a folder of images: it is one, or it ends like one."""
    return (name.endswith(("/", os.sep)) or os.path.isdir(name)) and not is_zarr(Path(name))


def is_pattern(name: str) -> bool:
    """Whether a name with wildcards means other files than one of this very name."""
    return glob.has_magic(name) and not os.path.exists(name)


def _before_pattern(pattern: str) -> Path:
    """The folder that all matches lie in."""
    parts = Path(pattern).parts
    fixed = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed])


def _images_in(
    folder: str, suffixes: tuple[str, ...], problems: list[str], *, recursive: bool
) -> Iterator[Path]:
    """Image files in a folder, hidden ones left out."""

    def report(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be searched: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=report):
        whole = [one for one in folders if is_zarr(Path(parent) / one)]
        for name in sorted((*files, *whole)):
            path = Path(parent) / name
            is_there = os.path.isfile(path) or name in whole
            if name.lower().endswith(suffixes) and name[0] != "." and is_there:
                yield path
        folders[:] = sorted(
            one for one in folders if recursive and one[0] != "." and one not in whole
        )
