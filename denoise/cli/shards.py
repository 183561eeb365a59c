"""One of several equal parts of the images, for one of several machines. No torch here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import typer

Unit = TypeVar("Unit")


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1, of `count` parts."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def part(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """Every `count`-th of the units of work, which are in the same order on any machine."""
        return units[self.number - 1 :: self.count]


def parse_shard(text: str) -> Shard:
    """The K-th of N parts, K/N, or the part of this task of a Slurm job array, "auto"."""
    if text == "auto":
        return _slurm_task()
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text, re.ASCII)
    if match is None or int(match[1]) > int(match[2]):
        raise typer.BadParameter(f"must be K/N with K from 1 to N, or auto, got {text!r}")
    return Shard(int(match[1]), int(match[2]))


def _slurm_task() -> Shard:
    task, first, count = (_slurm_number(name) for name in ("ID", "MIN", "COUNT"))
    last = first + count - 1
    if not first <= task <= last or os.environ.get("SLURM_ARRAY_TASK_MAX", str(last)) != str(last):
        raise typer.BadParameter(
            f"auto needs a job array without gaps, got task {task} of {count} from {first} on;"
            " give K/N"
        )
    return Shard(task - first + 1, count)


def _slurm_number(name: str) -> int:
    variable = f"SLURM_ARRAY_TASK_{name}"
    text = os.environ.get(variable, "")
    if not text.isdecimal():
        raise typer.BadParameter(
            f"auto is for a Slurm job array, which sets {variable} to a number, got {text!r};"
            " give K/N"
        )
    return int(text)
