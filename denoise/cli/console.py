"""Run a plan and tell the user: results on stdout, progress and errors on stderr, an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import typer

from denoise.cli.batch import Terminated, raise_on_sigterm, run_jobs
from denoise.cli.jobs import Settings
from denoise.cli.plan import Plan
from denoise.cli.report import FileReport, batch_summary
from denoise.errors import OutputError
from denoise.results import Progress

DONE, FAILED, INTERRUPTED, TERMINATED = 0, 1, 130, 143


def run_and_report(
    plan: Plan,
    settings: Settings,
    *,
    processes: int,
    fail_fast: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
    seconds_used: float,
) -> int:
    """Do all jobs and say what became of them.

    Parameters
    ----------
    json : print one object for each image on stdout, and nothing else there
    quiet : print nothing but errors
    verbose : tell the settings and every epoch
    seconds_used : since the program was started

    Returns
    -------
    int
        Exit code: 0 if all images are done or skipped, 1 if any failed, or there was none, 130 or
        143 if interrupted
    """
    several = len(plan.jobs) + len(plan.problems) > 1
    to_stdout = any(job.output is None for job in plan.jobs)

    def progress(title: str) -> AbstractContextManager[Callable[[Progress], None]]:
        if quiet or (several and not verbose and not sys.stderr.isatty()):
            return nullcontext(lambda progress: None)
        from denoise.cli.progress import show_progress  # loads rich

        return show_progress(title, every_step=verbose)

    def tell(report: FileReport) -> None:
        if json:
            _print(report.json())
        if report.status == "failed":
            typer.echo(report.summary(), err=True)
            if verbose and report.traceback is not None:
                typer.echo(report.traceback, err=True, nl=False)
            return
        for note in () if quiet else report.notes:
            typer.echo(f"note: {report.input}: {note}", err=True)
        if verbose and report.settings is not None:
            typer.echo(f"settings: {report.settings}", err=True)
        if not json and not quiet:
            _print(report.summary(), err=to_stdout)

    for problem in plan.problems:
        typer.echo(f"error: {problem}", err=True)
    for warning in () if quiet else plan.warnings:
        typer.echo(f"warning: {warning}", err=True)
    reports: list[FileReport] = []
    raise_on_sigterm()
    try:
        if not (plan.problems and fail_fast):
            for report in run_jobs(
                plan.jobs,
                settings,
                show_progress=progress,
                processes=processes,
                fail_fast=fail_fast,
                seconds_used=seconds_used,
            ):
                reports.append(report)
                tell(report)
    except KeyboardInterrupt as stop:
        done = sum(report.status != "failed" for report in reports)
        again = "; the same command with --skip-existing goes on" if several else ""
        typer.echo(f"interrupted: {done} of {len(plan.jobs)} images are done{again}", err=True)
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    if several and not quiet:
        summary = batch_summary(reports, len(plan.jobs), plan.problems)
        _print(summary, err=json or to_stdout)
    failed = plan.problems or any(report.status == "failed" for report in reports)
    return FAILED if failed or not reports else DONE


def _print(text: str, *, err: bool = False) -> None:
    try:
        typer.echo(text, err=err)
    except BrokenPipeError:
        raise  # the reader has enough; the command line ends quietly
    except OSError as error:
        raise OutputError(f"stdout: cannot be written: {error.strerror or error}") from None
