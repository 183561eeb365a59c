"""The command line: parse, plan, run, choose the exit code."""

from __future__ import annotations

import gc
import io
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from denoise.cli.loading import modules_kept
from denoise.cli.options import Files, RunOptions, check_together
from denoise.cli.parser import Command, takes_options
from denoise.cli.settings import Settings

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


# Other commands and where they are; an image file of such a name is ./benchmark, ./info and so on.
COMMANDS = {
    "benchmark": "denoise.cli.benchmark",
    "finish": "denoise.cli.finish",
    "info": "denoise.cli.info",
    "noise": "denoise.cli.noise",
    "serve": "denoise.serve.command",
}


def as_argument(name: str) -> str:
    """The name of a file as it has to be typed: it is taken for neither an option nor a command."""
    return f".{os.sep}{name}" if name.startswith("-") or name in COMMANDS else name


class _DenoiseOrOther(Command):
    """This command, or one of `COMMANDS`."""

    def make_context(self, info_name: Any, args: list[str], *more: Any, **extra: Any) -> Any:
        """What the parser does first, also to complete a command line in a shell."""
        name = args[0] if args else ""
        if name not in COMMANDS:
            return super().make_context(info_name, args, *more, **extra)
        command = typer.main.get_command(import_module(COMMANDS[name]).app)
        return command.make_context(f"{info_name} {name}", args[1:], *more, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command whose options have been parsed."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@app.command(
    cls=_DenoiseOrOther,
    epilog="`denoise info --help`: what an image is, what noise it has, and what a run would take."
    " `denoise serve --help`: see and judge results on a page on this machine."
    " `denoise noise --help`: measure the noise of an image, for a series of images."
    " `denoise finish --help`: list the results of a run that are missing."
    " `denoise benchmark --help`: compare methods on clean images with synthetic noise.",
)
@takes_options
def denoise(files: Files, settings: Settings, run: RunOptions) -> int:
    """Denoise images, each with a model learned from this image alone."""
    check_together(files, settings, run)
    with modules_kept():
        from denoise.cli.plan import plan_jobs

    plan = plan_jobs(files, run.shard, frame=settings.frame)
    with modules_kept():
        from denoise.cli.console import run_and_report

    return run_and_report(plan, settings, run, seconds_used=_seconds_since_start())


def _seconds_since_start() -> float:
    """Seconds since this process started; on other systems than Linux, its CPU time so far."""
    if sys.platform == "linux" and os.path.exists("/proc/self/stat"):
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2]
        started = int(after_name.split()[19]) / os.sysconf("SC_CLK_TCK")  # see proc_pid_stat(5)
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    return time.process_time()


class _Lossy(io.FileIO):
    """Standard error: no result is lost because a full disk or a closed pipe takes no progress."""

    def write(self, data: Any) -> int:
        """Write the data, or lose them."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def main() -> None:
    """What the command runs."""
    closed = sys.stderr is None
    lossy = _Lossy(os.devnull if closed else sys.stderr.fileno(), "w", closefd=closed)
    encoding = None if closed else sys.stderr.encoding
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(lossy), encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that are not in its encoding
    try:
        app(prog_name="denoise")
    finally:
        if "triton" in sys.modules:
            gc.unfreeze()  # it complains on stderr about objects that were not collected
        else:
            gc.freeze()  # the process ends sooner, see `modules_kept`
