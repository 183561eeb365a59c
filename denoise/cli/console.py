"""Run a plan and report: results on stdout, progress and errors on stderr, an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import typer

from denoise import devices
from denoise.cli.batch import run_jobs
from denoise.cli.interruption import exit_code, raise_on_sigterm
from denoise.cli.jobs import EXTRAS
from denoise.cli.options import RunOptions
from denoise.cli.pages.index_page import write_index
from denoise.cli.plan import Plan
from denoise.cli.report import FileReport, batch_summary
from denoise.cli.settings import Settings
from denoise.errors import OutputError
from denoise.files.outputs import check_output
from denoise.pipeline.results import Progress

DONE, FAILED = 0, 1


def run_and_report(plan: Plan, settings: Settings, run: RunOptions, *, seconds_used: float) -> int:
    """Do all jobs and report what became of them.

    Parameters
    ----------
    seconds_used : since the program was started; they count for the first job's time budget

    Returns
    -------
    int
        Exit code: 0 if all images are done or skipped, 1 if any failed or none was found, 130 or
        143 if interrupted

    Raises
    ------
    DeviceError
        If the device is not there.
    OutputError
        If stdout cannot be written.
    """
    several = len(plan.jobs) + len(plan.problems) > 1 or plan.part is not None
    shard = None if run.shard is None else str(run.shard)
    to_stdout = any(job.output is None for job in plan.jobs)
    reports: list[FileReport] = []
    if plan.index is not None:
        check_output(plan.index, EXTRAS["report"], overwrite=settings.may_replace)
    _print_before(plan, settings, run)
    raise_on_sigterm()
    try:
        if not (plan.problems and run.fail_fast):
            for report in run_jobs(
                plan.jobs,
                settings,
                run,
                show_progress=_progress_display(run, several=several),
                seconds_used=seconds_used,
            ):
                reports.append(replace(report, shard=shard))
                _print_report(reports[-1], run, to_stdout=to_stdout)
    except KeyboardInterrupt as stop:
        done = sum(report.status != "failed" for report in reports)
        again = "; the same command with --skip-existing goes on" if several else ""
        _note(f"interrupted: {done} of {len(plan.jobs)} images are done{again}")
        return exit_code(stop)
    finally:
        if plan.index is not None:
            write_index(plan.index, plan, reports)
    if several and not run.quiet:
        summary = batch_summary(reports, len(plan.jobs), plan.problems)
        summary = summary if plan.part is None else f"{plan.part}, {summary}"
        _print(summary, err=run.json or to_stdout)
    failed = plan.problems or any(report.status == "failed" for report in reports)
    found = reports or plan.part is not None  # there may be nothing in a part
    return DONE if found and not failed else FAILED


def _print_before(plan: Plan, settings: Settings, run: RunOptions) -> None:
    """What the user should know before the work begins."""
    if run.cluster is None:  # others may have other devices
        note = devices.device_note(devices.pick_device(settings.device))
        if note is not None and not run.quiet:
            _note(f"note: {note}")
    for problem in plan.problems:
        _note(f"error: {problem}")
    for warning in () if run.quiet else plan.warnings:
        _note(f"warning: {warning}")


def _progress_display(
    run: RunOptions, *, several: bool
) -> Callable[[str], AbstractContextManager[Callable[[Progress], None]]]:
    """Opens the display of one job's progress, which a log of several images does without."""
    if run.quiet or (several and not run.verbose and not sys.stderr.isatty()):
        return lambda title: nullcontext(lambda progress: None)
    from denoise.cli.progress import show_progress

    return lambda title: show_progress(title, every_step=run.verbose)


def _print_report(report: FileReport, run: RunOptions, *, to_stdout: bool) -> None:
    if run.json:
        _print(report.json())
    if report.status == "failed":
        _note(report.summary())
        if run.verbose and report.traceback is not None:
            _note(report.traceback.rstrip())
        return
    for note in () if run.quiet else report.notes:
        _note(f"note: {report.input}: {note}")
    if run.verbose and report.settings is not None:
        _note(f"settings: {report.settings}")
    if not run.json and not run.quiet:
        _print(report.summary(), err=to_stdout)


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _print(text: str, *, err: bool = False) -> None:
    try:
        typer.echo(text, err=err)
    except BrokenPipeError:
        raise  # the reader has enough; the command line ends quietly
    except OSError as error:
        raise OutputError(f"stdout: cannot be written: {error.strerror or error}") from None
