"""Progress on stderr: a live bar on a terminal, a few plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from denoise.pipeline.results import Progress

STAGE_NAMES = {
    "train": "learning",
    "rebuild": "rebuilding",
    "refine": "refining",
    "series": "denoising",
    "tiles": "denoising",
}
# A log gets a line when a stage has passed each of these shares.
LOG_SHARES = 5


@contextmanager
def show_progress(
    title: str = "", *, every_step: bool = False
) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a run; yields the function that shows an event.

    Parameters
    ----------
    title : in front of the bars or lines
    every_step : in a log, write a line for each epoch instead of a few in all
    """
    console = Console(stderr=True)
    if console.is_terminal and not every_step:
        with _bar(console, title) as bar:
            yield _BarReporter(bar)
    else:
        yield _LineReporter(console, title, every_step=every_step)


def _bar(console: Console, title: str) -> Bar:
    return Bar(
        *([TextColumn(escape(title))] if title else []),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class _BarReporter:
    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        stage = progress.stage
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(f"{STAGE_NAMES[stage]:10}", detail="")
        self._bar.update(
            self._tasks[stage],
            completed=progress.done,
            total=progress.total,
            detail=_detail(progress),
        )


class _LineReporter:
    def __init__(self, console: Console, title: str, *, every_step: bool) -> None:
        self._console = console
        self._title = f"{title} " if title else ""
        self._every_step = every_step
        self._started = time.perf_counter()
        self._shares = dict.fromkeys(STAGE_NAMES, 0)

    def __call__(self, progress: Progress) -> None:
        share = progress.done * LOG_SHARES // progress.total
        passed = share not in (0, self._shares[progress.stage])
        self._shares[progress.stage] = share
        if passed or (self._every_step and progress.stage == "train"):
            seconds = time.perf_counter() - self._started
            line = (
                f"{self._title}{STAGE_NAMES[progress.stage]}: {_detail(progress)}, {seconds:.0f} s"
            )
            self._console.print(line, highlight=False, soft_wrap=True, markup=False)


def _detail(progress: Progress) -> str:
    size = "" if progress.patch_size is None else f"{progress.patch_size}x{progress.patch_size}"
    if progress.elbo is not None:
        return f"{size} patches, epoch {progress.done}/{progress.total}, ELBO {progress.elbo:.2f}"
    if progress.stage == "series":
        return f"image {progress.done}/{progress.total}"
    if progress.stage == "tiles":
        return f"tile {progress.done}/{progress.total}"
    share = f"{100 * progress.done // progress.total} %"
    return f"{size} patches, {share}" if size else share
