"""Measured and published numbers as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean, median

from denoise.benchmarks.published import PUBLISHED, PUBLISHED_SOURCE
from denoise.benchmarks.runner import Cell

HEADER = "| method | image | sigma | PSNR dB | SSIM | seconds | GB | of itself |"


def cell_row(cell: Cell) -> str:
    """Line of a Markdown table for one cell."""
    start = f"| {cell.method} | {cell.image} | {cell.sigma:g}"
    if cell.error is not None:
        return f"{start} | failed: {cell.error} | | | | |"
    details = ", ".join(f"{key} {value:.4g}" for key, value in (cell.details or {}).items())
    numbers = f"{_number(cell.psnr, 2)} | {_number(cell.ssim, 4)} | {_number(cell.seconds, 1)}"
    return f"{start} | {numbers} | {_number(cell.memory, 2)} | {details} |"


def markdown(cells: Sequence[Cell], description: Sequence[str], set12: bool) -> str:
    """The whole report: conditions, means by method, every image.

    Parameters
    ----------
    description : lines on protocol, machine and images
    set12 : the images are all of Set12's 01 to 07, for which there are published values
    """
    sigmas = list(dict.fromkeys(cell.sigma for cell in cells))
    lines = [*(f"{line}  " for line in description), "", "## Means", ""]
    names = [f"sigma {sigma:g}" for sigma in sigmas]
    lines += [
        "| method | " + " | ".join(f"{name}, dB | SSIM | seconds" for name in names) + " |",
        "|---" * (1 + 3 * len(sigmas)) + "|",
    ]
    for method in dict.fromkeys(cell.method for cell in cells):
        parts = [
            _mean([one for one in cells if (one.method, one.sigma) == (method, s)]) for s in sigmas
        ]
        lines.append(f"| {method} | " + " | ".join(parts) + " |")
    if set12:
        for name, values in PUBLISHED.items():
            parts = [f"{values[s]:.2f} | | " if s in values else "| |" for s in sigmas]
            lines.append(f"| *{name}, published* | " + " | ".join(parts) + " |")
        lines += ["", PUBLISHED_SOURCE]
    lines += ["", "## Every image", "", HEADER, "|---" * 8 + "|"]
    lines += [cell_row(cell) for cell in cells]
    return "\n".join(lines) + "\n"


def table_csv(cells: Sequence[Cell]) -> str:
    """One line per cell, details left out."""
    buffer = io.StringIO()
    rows = [{k: v for k, v in asdict(cell).items() if k != "details"} for cell in cells]
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def mean_quality(cells: Sequence[Cell]) -> tuple[float, float] | None:
    """Mean PSNR and median seconds of the cells, None if one of them failed."""
    if any(cell.psnr is None or cell.seconds is None for cell in cells) or not cells:
        return None
    return fmean(cell.psnr or 0 for cell in cells), median(cell.seconds or 0 for cell in cells)


def _mean(cells: Sequence[Cell]) -> str:
    quality = mean_quality(cells)
    if quality is None:
        return "failed | |"
    similarities = [cell.ssim for cell in cells if cell.ssim is not None]
    similarity = f"{fmean(similarities):.4f}" if similarities else ""
    return f"{quality[0]:.2f} | {similarity} | {quality[1]:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
