"""Many jobs, one after the other or side by side: one failure never stops the others."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from denoise.cli.jobs import FileJob
from denoise.cli.one_file import LEAST_TIME, denoise_file
from denoise.cli.options import RunOptions
from denoise.cli.report import FileReport
from denoise.cli.series_parts import joined, shared_out
from denoise.cli.settings import Settings
from denoise.cli.workers import Lost, in_processes
from denoise.errors import DenoiseError, OutputError
from denoise.files.outputs import remove, temporary_name
from denoise.pipeline.results import Progress

# A file of several images is shared out in this many parts; a worker that dies costs one of them.
PARTS_ON_A_CLUSTER = 64

# Opens the display of one job's progress.
ShowProgress = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]


def run_jobs(
    jobs: Sequence[FileJob],
    settings: Settings,
    run: RunOptions,
    *,
    show_progress: ShowProgress,
    seconds_used: float = 0.0,
) -> Iterator[FileReport]:
    """Denoise all files; yields a report of each, those that cannot be begun first.

    Parameters
    ----------
    show_progress : called with a title for each job that runs in this process
    seconds_used : of the first job's time budget, such as by the start of the program
    """
    possible = []
    for job in jobs:
        failure = _check(job, settings, run)
        if failure is None:
            possible.append(job)
            continue
        yield failure
        if run.fail_fast:
            return
    if run.cluster is not None:  # a worker may die when the result is there
        settings = replace(settings, skip_existing=not settings.overwrite)
    work = partial(_try, settings=settings)
    parts = _parts_of_one(possible, settings, run)
    if parts:
        reports = _by_parts(work, parts, run)
    elif is_shared_out(possible, run):
        reports = side_by_side(work, possible, run)
    else:
        reports = _one_by_one(possible, settings, show_progress, seconds_used)
    with closing(reports):
        for report in reports:
            yield report
            if run.fail_fast and report.status == "failed":
                return


def _check(job: FileJob, settings: Settings, run: RunOptions) -> FileReport | None:
    try:
        if job.in_place and run.cluster is not None:
            raise OutputError(
                f"{job.output}: is the input; --cluster needs another output, since work may be"
                " done again"
            )
        job.check(settings)
    except DenoiseError as error:
        return _failure(job, str(error))
    return None


def _one_by_one(
    jobs: Sequence[FileJob], settings: Settings, show_progress: ShowProgress, seconds_used: float
) -> Generator[FileReport, None, None]:
    budget = settings.time_budget
    for number, job in enumerate(jobs, start=1):
        if budget is not None:
            left = max(budget - seconds_used, LEAST_TIME) if number == 1 else budget
            settings = replace(settings, time_budget=left)
        title = f"[{number}/{len(jobs)}] {job.input_name}" if len(jobs) > 1 else ""
        with show_progress(title) as on_progress:
            report = _try(job, settings, on_progress)
        yield report


def _parts_of_one(
    jobs: Sequence[FileJob], settings: Settings, run: RunOptions
) -> Sequence[FileJob]:
    """The parts of the only file of a run, if several processes can do its images."""
    count = run.jobs if run.cluster is None else PARTS_ON_A_CLUSTER
    if len(jobs) != 1 or count == 1 or settings.temporal > 0:
        return []
    return shared_out(jobs[0], count)


def _by_parts(
    work: Callable[[FileJob], FileReport], parts: Sequence[FileJob], run: RunOptions
) -> Generator[FileReport, None, None]:
    """The report of a file that other processes do in parts."""
    with closing(side_by_side(work, parts, run)) as reports:
        yield joined(list(reports))


def is_shared_out(jobs: Sequence[FileJob], run: RunOptions) -> bool:
    """Whether other processes do the jobs."""
    return run.cluster is not None or min(run.jobs, len(jobs)) > 1


def side_by_side(
    work: Callable[[FileJob], FileReport], jobs: Sequence[FileJob], run: RunOptions
) -> Generator[FileReport, None, None]:
    """Reports of `work` by other processes, in the order of the jobs."""
    if run.cluster is not None:
        from denoise.cli.cluster import on_cluster

        tasks = [job.absolute() for job in jobs]  # the workers run in other folders
        reports = on_cluster(work, tasks, address=run.cluster, clean_up=_remove_half_written)
    else:
        processes = min(run.jobs, len(jobs))
        reports = in_processes(work, jobs, processes=processes, clean_up=_remove_half_written)
    with closing(reports):
        for job, report in zip(jobs, reports, strict=True):
            if isinstance(report, Lost):
                yield _failure(job, f"{job.input_name}: {report.reason}")
            else:
                yield replace(report, input=job.input_name, output=job.output_name)


def _remove_half_written(job: FileJob, process: str) -> None:
    for path in job.outputs:
        with suppress(OSError):
            remove(temporary_name(Path(os.path.realpath(path)), process))


def _try(
    job: FileJob,
    settings: Settings,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FileReport:
    try:
        report = denoise_file(job, settings, on_progress=on_progress)
        return report.with_lateness(settings.time_budget)
    except DenoiseError as error:
        return _failure(job, str(error))
    except MemoryError:
        return _failure(
            job, f"{job.input_name}: out of memory; use a smaller image or fewer --jobs"
        )
    except Exception as error:  # a bug of ours costs this image, not the others
        interruption = _interruption_before(error)
        if interruption is not None:
            raise interruption from None
        what = " ".join(f"{type(error).__name__}: {error}".split())
        reason = f"{job.input_name}: internal error, please report it (--verbose says more): {what}"
        return replace(_failure(job, reason), traceback=traceback.format_exc())


def _interruption_before(error: BaseException) -> KeyboardInterrupt | None:
    """The interruption that a library, cleaning up, failed upon, such as in releasing a lock."""
    before: BaseException | None = error
    while before is not None and not isinstance(before, KeyboardInterrupt):
        before = before.__context__
    return before


def _failure(job: FileJob, reason: str) -> FileReport:
    return FileReport(job.input_name, job.output_name, "failed", error=reason)
