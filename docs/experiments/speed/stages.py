"""Seconds of one stage, against what the machine could do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import torch

from speed.paths import PathError, on_path

REPEATS = 5
# Values that are copied, and side of the matrices that are multiplied, to learn the limits.
COPIED, COPIED_ON_GPU = 2**26, 2**29
MATRIX, MATRIX_ON_GPU = 2048, 8192


@dataclass(frozen=True)
class Limits:
    """What the machine reached in this run.

    Attributes
    ----------
    bandwidth : bytes read and written per second by a copy
    arithmetic : float32 operations per second in a matrix product
    """

    bandwidth: float
    arithmetic: float


@dataclass(frozen=True)
class Work:
    """What a stage has to do, counted by hand from the algorithm, not from what is executed.

    Attributes
    ----------
    patches : how many are handled, or groups of them; 0 where the work does not depend on it
    operations : on floats
    moved : bytes that have to pass through memory, where caches keep what is used again
    scored : neighbours or children, how many are
    """

    patches: int
    operations: float
    moved: float
    scored: int = 0


@dataclass(frozen=True)
class StageTime:
    """One stage on one chunk.

    Attributes
    ----------
    stage : its name
    path : as for `on_path`
    seconds : median of some runs
    work : what was done
    """

    stage: str
    path: str
    seconds: float
    work: Work

    def share_of(self, limits: Limits) -> float:
        """Time that the binding limit asks for, as a share of the time that was taken."""
        least = max(self.work.operations / limits.arithmetic, self.work.moved / limits.bandwidth)
        return least / self.seconds


def measure_limits(device: torch.device) -> Limits:
    """Copy and multiply on the device."""
    on_gpu = device.type == "cuda"
    values = torch.zeros(COPIED_ON_GPU if on_gpu else COPIED, device=device)
    target = torch.empty_like(values)
    copying = seconds(lambda: target.copy_(values), device)
    side = MATRIX_ON_GPU if on_gpu else MATRIX
    # Zeros or ones would take less power, and run faster than other numbers.
    matrix = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(device)
    multiplying = seconds(lambda: matrix @ matrix, device)
    return Limits(2 * 4 * len(values) / copying, 2 * side**3 / multiplying)


def time_stage(
    stage: str,
    step: Callable[[], object],
    work: Work,
    device: torch.device,
    paths: Sequence[str],
    *,
    kernels: bool,
) -> list[StageTime]:
    """Time a step of the program on some paths (`on_path`), as far as they can be taken.

    Parameters
    ----------
    kernels : whether there are some for this step; if not, plain tensors are all there is
    """
    times = []
    for path in paths if kernels else ("plain",):
        with suppress(PathError), on_path(path):
            times.append(StageTime(stage, path, seconds(step, device), work))
    return times


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median time of some runs, after one that does not count."""
    taken = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return median(taken[1:])


def stage_table(stages: Sequence[StageTime], limits: Limits) -> str:
    """Markdown table of the stages and of what share of the binding limit they reach."""
    lines = [
        "| stage | path | patches | ms | patches/s | scored/s | GFLOP/s | GB/s | of the limit |",
        "|---" * 9 + "|",
    ]
    for one in stages:
        work = one.work
        lines.append(
            f"| {one.stage} | {one.path} | {work.patches or ''} | {1000 * one.seconds:.2f} |"
            f" {_rate(work.patches, one)} | {_rate(work.scored, one)} |"
            f" {_rate(work.operations / 1e9, one)} | {_rate(work.moved / 1e9, one)} |"
            f" {100 * one.share_of(limits):.1f} % |"
        )
    return "\n".join(lines)


def _rate(count: float, stage: StageTime) -> str:
    """Per second; nothing where nothing is counted."""
    return f"{count / stage.seconds:.3g}" if count else ""
