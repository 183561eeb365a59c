"""What a command will do: one job for each image, and where its files go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from denoise.cli.jobs import EXTRAS, FileJob
from denoise.cli.options import PIPE, Files
from denoise.cli.shards import Shard
from denoise.errors import PlanError
from denoise.files.bytes import is_zarr
from denoise.files.formats import INPUT_SUFFIXES
from denoise.files.images import result_suffix
from denoise.files.inputs import Source, find_images, is_folder, is_pattern
from denoise.files.series import count_images

# Lists all pages of a report.
INDEX = "index.html"
# A result that is written next to its input gets this after its name.
DEFAULT_SUFFIX = "_denoised"


@dataclass(frozen=True)
class Plan:
    """What a command will do.

    Attributes
    ----------
    jobs : one for each image
    problems : one line for each input in which there is no image
    warnings : what will be left out
    index : where to list the pages about several images
    part : what to say if the jobs are those of a shard; None if they are all
    """

    jobs: list[FileJob]
    problems: list[str]
    warnings: list[str]
    index: Path | None = None
    part: str | None = None

    def part_of(self, shard: Shard, *, by_images: bool) -> Plan:
        """What one of several machines will do; none of them writes the list of all pages.

        Jobs are shared out in the order of their results, since a shell sorts `*.png` by its
        locale, and a single file of several images by its images, if all are meant.
        """
        if by_images and len(self.jobs) == 1 and count_images(self.jobs[0].image) > 1:
            jobs = [replace(self.jobs[0], shard=shard)]
            return replace(self, jobs=jobs, part=f"part {shard.number} of {shard.count}")
        jobs = list(shard.part(sorted(self.jobs, key=lambda job: job.output_name)))
        warnings = list(self.warnings)
        if self.index is not None:
            warnings.append(
                f"{self.index}: is not written by parts; `denoise finish` with the same options"
                " but --shard writes it"
            )
        part = f"part {shard.number} of {shard.count}: {len(jobs)} of {len(self.jobs)} images"
        return replace(self, jobs=jobs, warnings=warnings, index=None, part=part)


def plan_jobs(files: Files, shard: Shard | None = None, *, frame: int | None = None) -> Plan:
    """One job for each image that a command means, or for those of a shard; all are checked.

    Parameters
    ----------
    frame : which image of each file is meant; None for all

    Raises
    ------
    PlanError
        If the names do not fit together.
    """
    extras = {name: getattr(files, name) for name in EXTRAS if getattr(files, name) is not None}
    inputs = (*files.images, files.reference, files.mask, files.load_model)
    if "" in (*inputs, files.output, *extras.values()):
        raise PlanError("a name is empty; is a shell variable not set?")
    if files.report is not None and _looks_like_a_file(files.report):
        raise PlanError(f"--report {files.report}: pages need a folder, such as report/")
    first = files.images[0]
    several = len(files.images) > 1 or is_folder(first) or is_pattern(first)
    if several and files.piped:
        raise PlanError("one image at a time goes through a pipe")
    plan = _piped(files, extras) if files.piped else _found(files, extras, several=several)
    _check_collisions(plan)
    if shard is None:
        return plan
    return plan.part_of(shard, by_images=frame is None)


def _piped(files: Files, extras: dict[str, str]) -> Plan:
    """One image from standard input, to standard output, or both."""
    image = None if files.images == [PIPE] else Path(files.images[0])
    name_of_extras = Path("stdin" if image is None else image.name)
    job = FileJob(
        image,
        None if files.to_stdout else _path(files.output),
        _path(files.reference),
        mask=_path(files.mask),
        load_model=_path(files.load_model),
        **_placed(extras, name_of_extras, several=False),
    )
    return Plan([job], [], [])


def _found(files: Files, extras: dict[str, str], *, several: bool) -> Plan:
    """The images that are named, or lie in folders and match patterns."""
    for name in (files.output, *extras.values()) if several else ():
        if name is not None and _looks_like_a_file(name):
            raise PlanError(f"{name}: several images need a folder, such as results/")
    skip_stem = "" if files.output is not None else _or_default(files.suffix)
    sources, problems = find_images(
        files.images, INPUT_SUFFIXES, recursive=files.recursive, skip_stem=skip_stem
    )
    outputs = _outputs(sources, files, several=several)
    pairs = _without_results(list(zip(sources, outputs, strict=True)))
    reference, mask = _path(files.reference), _path(files.mask)
    if reference is not None and len(pairs) > 1 and not is_folder(str(reference)):
        raise PlanError(f"--reference {reference}: several images need a folder of references")
    jobs = [
        FileJob(
            source.path,
            output,
            _of_same_name(source, reference),
            mask=_of_same_name(source, mask),
            load_model=_path(files.load_model),
            **_placed(extras, source.relative, several=several),
        )
        for source, output in pairs
    ]
    warnings = [
        f"{job.image}: no image of this name in {folder}"
        for job in jobs
        for folder, found in ((reference, job.reference), (mask, job.mask))
        if folder is not None and found is None
    ]
    index = Path(files.report) / INDEX if several and files.report is not None else None
    return Plan(jobs, problems, warnings, index)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _looks_like_a_file(name: str) -> bool:
    suffixes = (*INPUT_SUFFIXES, *(kinds[0] for kinds in EXTRAS.values()))
    return name.lower().endswith(suffixes) and not is_folder(name)


def _outputs(sources: Sequence[Source], files: Files, *, several: bool) -> list[Path]:
    """Where each result goes: next to its image, into a mirrored tree, or to the file named."""
    suffix, output = files.suffix, files.output
    if suffix is not None and ("/" in suffix or os.sep in suffix):
        raise PlanError(f"--suffix {suffix}: is added to names; give the folder with -o")
    if output is None:
        return [_result_name(one.path, one, _or_default(suffix)) for one in sources]
    if several or is_folder(output):
        folder = Path(output)
        return [_result_name(folder / one.relative, one, suffix or "") for one in sources]
    if suffix is not None:
        raise PlanError(f"--suffix {suffix}: -o {output} names the file already")
    return [Path(output)]


def _or_default(suffix: str | None) -> str:
    return DEFAULT_SUFFIX if suffix is None else suffix


def _result_name(path: Path, source: Source, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{result_suffix(source.path)}")


def _without_results(pairs: Sequence[tuple[Source, Path]]) -> list[tuple[Source, Path]]:
    """Leave out what was found, not named, and is another image's result, of an earlier run."""
    results = {os.path.realpath(output): source.path for source, output in pairs}
    return [
        (source, output)
        for source, output in pairs
        if source.named or results.get(os.path.realpath(source.path), source.path) == source.path
    ]


def _placed(extras: dict[str, str], image: Path, *, several: bool) -> dict[str, Any]:
    """Other files about an image: those that are named, or of the image's name in folders."""
    return {
        name: (Path(place) / image).with_suffix(EXTRAS[name][0])
        if several or name == "report"
        else Path(place)
        for name, place in extras.items()
    }


def _of_same_name(source: Source, place: Path | None) -> Path | None:
    """The image that belongs to another one: a file, or that of the name in a folder."""
    if place is None or not is_folder(str(place)):
        return place
    wanted = place / source.relative
    if wanted.is_file() or is_zarr(wanted):
        return wanted
    if not os.path.isdir(wanted.parent):
        return None
    for path in sorted(wanted.parent.iterdir()):
        if path.stem == wanted.stem and path.suffix.lower() in INPUT_SUFFIXES:
            return path
    return None


def _check_collisions(plan: Plan) -> None:
    """Raise if a file would be written twice, or over one that is read for something else."""
    read = {
        os.path.realpath(path): path
        for job in plan.jobs
        for path in (job.image, job.reference, job.mask, job.load_model)
        if path is not None
    }
    others = {
        os.path.realpath(one) for job in plan.jobs for one in (job.reference, job.mask) if one
    }
    written = {} if plan.index is None else {os.path.realpath(plan.index): "all pages"}
    for job in plan.jobs:
        for path in job.outputs:
            target = os.path.realpath(path)
            if target in written:
                raise PlanError(
                    f"{path} would be written twice, for {written[target]} and {job.input_name};"
                    " run them apart, or give their common folder so that its tree is mirrored"
                )
            own = path == job.output and job.in_place and target not in others
            if target in read and not own:
                raise PlanError(
                    f"{path} would be written for {job.input_name}, but is read as"
                    f" {read[target]}; use another name, --suffix or folder"
                )
            written[target] = job.input_name
