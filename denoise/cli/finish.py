"""The command `denoise finish`: which results of a run, on however many machines, are missing."""

from __future__ import annotations

from functools import partial

import typer

from denoise.cli.loading import modules_kept
from denoise.cli.options import Files, RunOptions, check_together
from denoise.cli.parser import Command, takes_options
from denoise.cli.settings import Settings
from denoise.errors import PlanError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(cls=Command)
@takes_options
def finish(files: Files, settings: Settings, run: RunOptions) -> int:
    """List the images whose results are missing or damaged; the options are those of the run.

    Nothing is denoised: it is what the same command with --skip-existing would do. The list of
    all pages is written if there is a --report.
    """
    check_together(files, settings, run)
    if files.piped:
        raise PlanError("finish looks for files; there are none in a pipe")
    with modules_kept():
        from denoise.cli.batch import is_shared_out, side_by_side
        from denoise.cli.earlier_results import look_for_results
        from denoise.cli.jobs import EXTRAS
        from denoise.cli.pages.index_page import write_index
        from denoise.cli.plan import plan_jobs
        from denoise.files.outputs import check_output

    plan = plan_jobs(files, run.shard)
    if plan.index is not None:
        check_output(plan.index, EXTRAS["report"], overwrite=settings.may_replace)
    for problem in plan.problems:
        typer.echo(f"error: {problem}", err=True)
    look = partial(look_for_results, settings=settings)
    shared_out = is_shared_out(plan.jobs, run)
    reports = []
    for report in side_by_side(look, plan.jobs, run) if shared_out else map(look, plan.jobs):
        reports.append(report)
        if run.json:
            typer.echo(report.json())
        elif report.error is not None:
            typer.echo(report.error)
    if plan.index is not None:
        write_index(plan.index, plan, reports)
    whole = sum(report.error is None for report in reports)
    if not run.quiet:
        part = "" if plan.part is None else f"{plan.part}, "
        typer.echo(f"{part}{whole} of {len(reports)} images are done", err=run.json)
    return 0 if whole == len(reports) and not plan.problems else 1
