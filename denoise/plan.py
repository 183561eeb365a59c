"""Which files a command is about: names, folders and patterns in, pairs of input and output out."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoise.errors import ImageError, PlanError

# Written next to its input, a result gets this after its name.
DEFAULT_SUFFIX = "_denoised"


@dataclass(frozen=True)
class Source:
    """An image that was found.

    Attributes
    ----------
    path : the file
    relative : its name within the folder that was searched; the bare name if it was named
    """

    path: Path
    relative: Path


@dataclass(frozen=True)
class Task:
    """One image to denoise: `source.path` -> `output`."""

    source: Source
    output: Path


def find_images(
    inputs: Sequence[str], suffixes: Iterable[str], *, recursive: bool, skip_stem: str = ""
) -> list[Source]:
    """All images that `inputs` mean, each once, in the order given; folders sorted by name.

    Parameters
    ----------
    inputs : files, folders, and patterns such as "*.png" for shells that leave them alone
    suffixes : what an image file in a folder ends with, lower case
    recursive : search folders in folders too; linked ones are not followed
    skip_stem : files in a folder whose name ends so, before the suffix, are left out

    Raises
    ------
    ImageError
        If an input is no file, folder or pattern, or nothing at all is found.
    """
    suffixes = tuple(suffixes)
    sources: dict[Path, Source] = {}
    for text in inputs:
        for path in _expanded(text):
            if path.is_dir():
                inside = _images_in(path, suffixes, recursive=recursive)
                found = [
                    Source(one, one.relative_to(path))
                    for one in inside
                    if not (skip_stem and one.stem.endswith(skip_stem))
                ]
                if not found:
                    hint = "" if recursive else "; use --recursive to search its subfolders"
                    raise ImageError(f"{text}: holds no image ({' '.join(suffixes)}){hint}")
            else:
                found = [Source(path, Path(path.name))]
            for source in found:
                sources.setdefault(_identity(source.path), source)
    return list(sources.values())


def plan_outputs(sources: Sequence[Source], output: Path | None, suffix: str | None) -> list[Task]:
    """Where each result goes.

    Parameters
    ----------
    output : None writes next to each input; a folder, or any name when there are several
        inputs, mirrors their tree; else the one file to write
    suffix : added to the names; None adds "_denoised" next to the inputs, nothing elsewhere

    Raises
    ------
    PlanError
        If two results would have the same name, or one would replace an input of the other.
    """
    if output is None:
        suffix = DEFAULT_SUFFIX if suffix is None else suffix
        tasks = [Task(one, _with_stem_suffix(one.path, suffix)) for one in sources]
    elif is_folder(output) or len(sources) > 1:
        suffix = suffix or ""
        tasks = [Task(one, _with_stem_suffix(output / one.relative, suffix)) for one in sources]
    else:
        tasks = [Task(sources[0], output)]
    _check_collisions(tasks)
    return tasks


def is_folder(path: Path | str) -> bool:
    """Whether a name means a folder: it is one, or it ends like one."""
    return os.fspath(path).endswith(("/", os.sep)) or Path(path).is_dir()


def _expanded(text: str) -> Iterator[Path]:
    """The path, or what a pattern matches."""
    if Path(text).exists() or not glob.has_magic(text):
        yield Path(text)
        return
    matches = sorted(glob.glob(text, recursive=True))
    if not matches:
        raise ImageError(f"{text}: no file matches")
    yield from map(Path, matches)


def _images_in(folder: Path, suffixes: tuple[str, ...], *, recursive: bool) -> Iterator[Path]:
    """Image files in a folder, hidden ones left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if recursive and not one.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield Path(parent) / name


def _with_stem_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


def _check_collisions(tasks: Sequence[Task]) -> None:
    writers: dict[Path, Path] = {}
    readers = {_identity(task.source.path): task.source.path for task in tasks}
    for task in tasks:
        target = _identity(task.output)
        source = task.source.path
        if target in writers:
            raise PlanError(
                f"{writers[target]} and {source} would both be written to {task.output};"
                " run them apart, or give their common folder so that its tree is mirrored"
            )
        if target in readers and readers[target] != source:
            raise PlanError(
                f"the result of {source} would replace {readers[target]}, which is an input too;"
                " use another --suffix or output folder"
            )
        writers[target] = source


def _identity(path: Path) -> Path:
    return path.resolve()
