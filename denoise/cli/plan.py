"""What a command will do: one job for each image, and where its files go."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoise.cli.inputs import Source, find_images, is_folder, is_pattern
from denoise.cli.jobs import FileJob
from denoise.errors import PlanError
from denoise.files.formats import INPUT_SUFFIXES
from denoise.files.images import result_suffix

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
    names = (output, reference, load_model, *extras.values())
    if "" in inputs or "" in names:
        raise PlanError("a name is empty; is a shell variable not set?")
    model = None if load_model is None else Path(load_model)
    several = len(inputs) > 1 or is_folder(inputs[0]) or is_pattern(inputs[0])
    if PIPE in inputs or output == PIPE:
        if several:
            raise PlanError("one image at a time goes through a pipe")
        return Plan([_pipe_job(inputs[0], output, reference, model, extras)], [], [])
    for name in (output, *extras.values()) if several else ():
        if name is not None and _looks_like_a_file(name):
            raise PlanError(f"{name}: several images need a folder, such as results/")
    skip_stem = (suffix if suffix is not None else DEFAULT_SUFFIX) if output is None else ""
    sources, problems = find_images(
        inputs, INPUT_SUFFIXES, recursive=recursive, skip_stem=skip_stem
    )
    tasks = _without_results(plan_outputs(sources, output, suffix, several=several))
    jobs, warnings = [], []
    for task in tasks:
        clean = None
        if reference is not None and os.path.isdir(reference):
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
    _check_collisions(jobs)
    return Plan(jobs, problems, warnings)


def _pipe_job(
    name: str,
    output: str | None,
    reference: str | None,
    model: Path | None,
    extras: Mapping[str, str | None],
) -> FileJob:
    """From standard input, to standard output, or both."""
    image = None if name == PIPE else Path(name)
    to_stdout = output == PIPE or (output is None and image is None)
    files = {name: Path(value) for name, value in extras.items() if value is not None}
    job = FileJob(
        image,
        None if to_stdout else Path(str(output)),
        None if reference is None else Path(reference),
        load_model=model,
        **files,
    )
    _check_collisions([job])
    return job


def _looks_like_a_file(name: str) -> bool:
    suffixes = (*INPUT_SUFFIXES, *EXTRA_SUFFIXES.values())
    return name.lower().endswith(suffixes) and not is_folder(name)


def _without_results(tasks: Sequence[Task]) -> list[Task]:
    """Leave out what was found, not named, and is the result of another task: of an earlier run."""
    results = {os.path.realpath(task.output): task.source.path for task in tasks}
    return [
        task
        for task in tasks
        if task.source.named
        or results.get(os.path.realpath(task.source.path), task.source.path) == task.source.path
    ]


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
        If the suffix is no part of a name, or is of no use.
    """
    if suffix is not None and ("/" in suffix or os.sep in suffix):
        raise PlanError(f"--suffix {suffix}: is added to names; give the folder with -o")
    if output is None:
        suffix = DEFAULT_SUFFIX if suffix is None else suffix
        return [Task(one, _result_name(one.path, one, suffix)) for one in sources]
    if is_folder(output) or several:
        suffix = suffix or ""
        folder = Path(output)
        return [Task(one, _result_name(folder / one.relative, one, suffix)) for one in sources]
    if suffix is not None:
        raise PlanError(f"--suffix {suffix}: -o {output} names the file already")
    return [Task(sources[0], Path(output))]


def _result_name(path: Path, source: Source, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{result_suffix(source.path)}")


def _check_collisions(jobs: Sequence[FileJob]) -> None:
    """Raise if a file would be written twice, or over one that is read for something else."""
    read = {
        os.path.realpath(path): path
        for job in jobs
        for path in (job.image, job.reference, job.load_model)
        if path is not None
    }
    references = {os.path.realpath(job.reference) for job in jobs if job.reference is not None}
    written: dict[str, str] = {}
    for job in jobs:
        for path in job.outputs:
            target = os.path.realpath(path)
            if target in written:
                raise PlanError(
                    f"{path} would be written twice, for {written[target]} and {job.input_name};"
                    " run them apart, or give their common folder so that its tree is mirrored"
                )
            own = path == job.output and job.in_place and target not in references
            if target in read and not own:
                raise PlanError(
                    f"{path} would be written for {job.input_name}, but is read as"
                    f" {read[target]}; use another name, --suffix or folder"
                )
            written[target] = job.input_name


def _beside(task: Task, folder: Path, suffix: str) -> Path:
    """Name in `folder` of another file about this image."""
    return (folder / task.source.relative).with_suffix(suffix)


def matching_reference(task: Task, folder: Path) -> Path | None:
    """The clean image of this name in `folder`; any image format will do."""
    wanted = folder / task.source.relative
    if wanted.is_file():
        return wanted
    if not os.path.isdir(wanted.parent):
        return None
    for path in sorted(wanted.parent.iterdir()):
        if path.stem == wanted.stem and path.suffix.lower() in INPUT_SUFFIXES:
            return path
    return None
