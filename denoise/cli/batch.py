"""Many jobs, one after the other or side by side: one failure never stops the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import FrameType

from denoise.cli.jobs import FileJob
from denoise.cli.one_file import LEAST_TIME, denoise_file
from denoise.cli.report import FileReport
from denoise.cli.settings import Settings
from denoise.errors import DenoiseError
from denoise.files.outputs import temporary_name
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
    seconds_used: float = 0.0,
) -> Iterator[FileReport]:
    """Denoise all files; yields a report of each, those that cannot be begun first.

    Parameters
    ----------
    show_progress : called with a title for each job that runs in this process
    processes : how many jobs run at a time, each in a process of its own if more than one
    fail_fast : stop after the first failure
    seconds_used : of the first job's time budget, such as by the start of the program
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
    processes = min(processes, len(possible))
    if processes > 1:
        reports = _side_by_side(possible, settings, processes)
    else:
        reports = _one_by_one(possible, settings, show_progress, seconds_used)
    with closing(reports):
        for report in reports:
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


def _side_by_side(
    jobs: Sequence[FileJob], settings: Settings, processes: int
) -> Generator[FileReport, None, None]:
    """Fresh processes: a fork of one that runs threads can hang."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start_worker, (processes,))
    try:
        with _ctrl_c_ignored():  # the workers inherit this: Ctrl-C is the parent's to handle
            futures = [pool.submit(_try, job, settings) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:
                reason = "a process died; is there too little memory for so many --jobs?"
                yield _failure(job, f"{job.input_name}: {reason}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        _end_workers(jobs)


def _end_workers(jobs: Sequence[FileJob]) -> None:
    """End the processes that are still at work, and remove what they have half written."""
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()
    for path, worker in product((path for job in jobs for path in job.outputs), workers):
        with suppress(OSError):
            temporary_name(Path(os.path.realpath(path)), worker.pid).unlink()


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker(processes: int) -> None:
    """Share the cores."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))


def _try(
    job: FileJob,
    settings: Settings,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FileReport:
    try:
        return denoise_file(job, settings, on_progress=on_progress)
    except DenoiseError as error:
        return _failure(job, str(error))
    except MemoryError:
        return _failure(
            job, f"{job.input_name}: out of memory; use a smaller image or fewer --jobs"
        )
    except Exception as error:  # a bug of ours costs this image, not the others
        what = " ".join(f"{type(error).__name__}: {error}".split())
        reason = f"{job.input_name}: internal error, please report it (--verbose says more): {what}"
        return replace(_failure(job, reason), traceback=traceback.format_exc())


def _failure(job: FileJob, reason: str) -> FileReport:
    return FileReport(job.input_name, job.output_name, "failed", error=reason)
