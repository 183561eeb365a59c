"""Many jobs, one after the other or side by side: one failure never stops the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import FrameType

from denoise.errors import DenoiseError
from denoise.files import denoise_file
from denoise.jobs import FileJob, Settings
from denoise.report import FileReport
from denoise.results import Progress

# Opens the display of one job's progress.
ShowProgress = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def run_jobs(
    jobs: Sequence[FileJob],
    settings: Settings,
    *,
    show_progress: ShowProgress,
    processes: int = 1,
    fail_fast: bool = False,
) -> Iterator[FileReport]:
    """Denoise all files; yields a report of each, those that cannot be begun first.

    Parameters
    ----------
    show_progress : called with a title for each job that runs in this process
    processes : how many jobs run at a time, each in a process of its own if more than one
    fail_fast : stop after the first failure
    """
    possible = []
    for job in jobs:
        failure = _check(job, settings)
        if failure is None:
            possible.append(job)
            continue
        yield failure
        if fail_fast:
            return
    for report in _run(possible, settings, show_progress, min(processes, len(possible))):
        yield report
        if fail_fast and report.status == "failed":
            return


def raise_on_sigterm() -> None:
    """Let SIGTERM end the process like Ctrl-C does: half-written files are removed."""
    signal.signal(signal.SIGTERM, _raise_terminated)


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _check(job: FileJob, settings: Settings) -> FileReport | None:
    try:
        job.check(overwrite=settings.overwrite or settings.skip_existing)
    except DenoiseError as error:
        return _failure(job, error)
    return None


def _run(
    jobs: Sequence[FileJob], settings: Settings, show_progress: ShowProgress, processes: int
) -> Iterator[FileReport]:
    if processes > 1:
        # Fresh processes: a fork of one that runs threads can hang.
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, _start_worker, (processes,)) as pool:
            yield from pool.imap(partial(_try, settings=settings), jobs)
        return
    for number, job in enumerate(jobs, start=1):
        title = f"[{number}/{len(jobs)}] {job.input_name}" if len(jobs) > 1 else ""
        with show_progress(title) as on_progress:
            report = _try(job, settings, on_progress)
        yield report


def _start_worker(processes: int) -> None:
    """Share the cores; Ctrl-C is the parent's to handle, which then ends the workers."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_on_sigterm()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))


def _try(
    job: FileJob,
    settings: Settings,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FileReport:
    try:
        return denoise_file(job, settings, on_progress=on_progress)
    except DenoiseError as error:
        return _failure(job, error)


def _failure(job: FileJob, error: DenoiseError) -> FileReport:
    return FileReport(job.input_name, job.output_name, "failed", error=str(error))
