"""Which files a command is about: names, folders and patterns in, one job for each image out."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoise.errors import PlanError
from denoise.images import IMAGE_SUFFIXES
from denoise.jobs import FileJob

# Written next to its input, a result gets this after its name.
DEFAULT_SUFFIX = "_denoised"
PIPE = "-"
# In a folder for several images, the files about one are of these kinds.
EXTRA_SUFFIXES = {
    "figure": ".png",
    "curve": ".csv",
    "uncertainty": ".npy",
    "save_model": ".npz",
    "show_model": ".png",
}


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


@dataclass(frozen=True)
class Task:
    """One image to denoise: `source.path` -> `output`."""

    source: Source
    output: Path


@dataclass(frozen=True)
class Plan:
    """What a command will do.

    Attributes
    ----------
    jobs : one for each image
    problems : one line for each input in which there is no image
    warnings : what will be left out
    """

    jobs: list[FileJob]
    problems: list[str]
    warnings: list[str]


def plan_jobs(
    inputs: Sequence[str],
    output: str | None,
    *,
    suffix: str | None,
    recursive: bool,
    reference: str | None,
    load_model: str | None,
    extras: Mapping[str, str | None],
) -> Plan:
    """One job for each image that a command means.

    Parameters
    ----------
    inputs : files, folders, patterns, or "-" alone for standard input
    output : a file, a folder, "-" for standard output, or None: next to each image
    suffix : added to the names; None adds "_denoised" next to the inputs, nothing elsewhere
    reference : a clean image, or a folder with images of the same names
    extras : of the names in `EXTRA_SUFFIXES`; files, or folders if there are several images

    Raises
    ------
    PlanError
        If the names do not fit together.
    """
    model = None if load_model is None else Path(load_model)
    if PIPE in inputs or output == PIPE:
        return Plan([_pipe_job(inputs, output, reference, model, extras)], [], [])
    skip_stem = (suffix if suffix is not None else DEFAULT_SUFFIX) if output is None else ""
    sources, problems = find_images(
        inputs, IMAGE_SUFFIXES, recursive=recursive, skip_stem=skip_stem
    )
    several = len(inputs) > 1 or is_folder(inputs[0]) or is_pattern(inputs[0])
    tasks = plan_outputs(sources, output, suffix, several=several)
    jobs, warnings = [], []
    for task in tasks:
        clean = None
        if reference is not None and Path(reference).is_dir():
            clean = matching_reference(task, Path(reference))
            if clean is None:
                warnings.append(f"{task.source.path}: no image of this name in {reference}")
        elif reference is not None and len(tasks) > 1:
            raise PlanError(f"--reference {reference}: several images need a folder of references")
        elif reference is not None:
            clean = Path(reference)
        files = {
            name: _beside(task, Path(value), EXTRA_SUFFIXES[name]) if several else Path(value)
            for name, value in extras.items()
            if value is not None
        }
        job = FileJob(task.source.path, task.output, clean, load_model=model, **files)
        jobs.append(job)
    return Plan(jobs, problems, warnings)


def _pipe_job(
    inputs: Sequence[str],
    output: str | None,
    reference: str | None,
    model: Path | None,
    extras: Mapping[str, str | None],
) -> FileJob:
    """From standard input, to standard output, or both."""
    if len(inputs) > 1:
        raise PlanError("one image at a time goes through a pipe")
    image = None if inputs[0] == PIPE else Path(inputs[0])
    to_stdout = output == PIPE or (output is None and image is None)
    files = {name: Path(value) for name, value in extras.items() if value is not None}
    return FileJob(
        image,
        None if to_stdout else Path(str(output)),
        None if reference is None else Path(reference),
        load_model=model,
        **files,
    )


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


def plan_outputs(
    sources: Sequence[Source], output: str | None, suffix: str | None, *, several: bool
) -> list[Task]:
    """Where each result goes.

    Parameters
    ----------
    output : None writes next to each input; a folder, or any name if `several`, mirrors their
        tree; else the one file to write
    suffix : added to the names; None adds "_denoised" next to the inputs, nothing elsewhere

    Raises
    ------
    PlanError
        If two results would have the same name, or one would replace an input of the other.
    """
    if output is None:
        suffix = DEFAULT_SUFFIX if suffix is None else suffix
        tasks = [Task(one, _with_stem_suffix(one.path, suffix)) for one in sources]
    elif is_folder(output) or several:
        suffix = suffix or ""
        folder = Path(output)
        tasks = [Task(one, _with_stem_suffix(folder / one.relative, suffix)) for one in sources]
    else:
        tasks = [Task(sources[0], Path(output))]
    _check_collisions(tasks)
    return tasks


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


def _with_stem_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


def _check_collisions(tasks: Sequence[Task]) -> None:
    writers: dict[Path, Path] = {}
    readers = {task.source.path.resolve(): task.source.path for task in tasks}
    for task in tasks:
        target = task.output.resolve()
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


def _beside(task: Task, folder: Path, suffix: str) -> Path:
    """Name in `folder` of another file about this image."""
    return (folder / task.source.relative).with_suffix(suffix)


def matching_reference(task: Task, folder: Path) -> Path | None:
    """The clean image of this name in `folder`; any image format will do."""
    same = folder / task.source.relative
    others = (same.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)
    return next((path for path in (same, *others) if path.is_file()), None)
