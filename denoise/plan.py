"""What a command will do: one job for each image, and where its files go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoise.errors import PlanError
from denoise.images import IMAGE_SUFFIXES
from denoise.inputs import Source, find_images, is_folder, is_pattern
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
