"""Measured and published numbers as tables, and in plain words where our default preset loses."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median

from denoise.benchmark.protocol import Damage
from denoise.benchmark.published import PUBLISHED, PUBLISHED_SOURCE, published, published_mean
from denoise.benchmark.runner import Cell
from denoise.presets import DEFAULT_PRESET

HEADER = "| method | image | damage | PSNR dB | SSIM | seconds | GB | of itself |"


def cell_row(cell: Cell) -> str:
    """Line of a Markdown table for one cell."""
    start = f"| {cell.method} | {cell.image} | {cell.damage.name}"
    if cell.error is not None:
        return f"{start} | failed: {cell.error} | | | | |"
    details = ", ".join(f"{key} {value:.4g}" for key, value in (cell.details or {}).items())
    numbers = f"{_number(cell.psnr, 2)} | {_number(cell.ssim, 4)} | {_number(cell.seconds, 1)}"
    return f"{start} | {numbers} | {_number(cell.memory, 2)} | {details} |"


def markdown(
    cells: Sequence[Cell],
    description: Sequence[str],
    known: Mapping[str, str | None],
    *,
    losses: Sequence[str] = (),
    pictures: Sequence[str] = (),
) -> str:
    """The whole report: conditions, means by method, PSNR by image, every cell.

    Parameters
    ----------
    description : lines on protocol, machine and images
    known : images by name, and what they are called in a named set, such as "set12/02.png";
        there are published values for some
    losses : paragraphs on where we lose
    pictures : addresses of pictures to show
    """
    parts = [
        "# Methods side by side",
        "",
        *(f"{line}  " for line in description),
        "",
        *(line for picture in pictures for line in (f"![]({picture})", "")),
        "## Means",
        "",
        means(cells, known),
        "",
        *(["## Where we lose", "", *losses] if losses else []),
        "## PSNR by image",
        "",
        *_by_image(cells, known),
        "## Every run",
        "",
        HEADER,
        "|---" * 8 + "|",
        *(cell_row(cell) for cell in cells),
    ]
    return "\n".join(parts) + "\n"


def means(cells: Sequence[Cell], known: Mapping[str, str | None]) -> str:
    """Table of mean PSNR, mean SSIM, median seconds and largest memory by method and damage."""
    damages = list(dict.fromkeys(cell.damage for cell in cells))
    columns = [f"{damage.name}, dB | SSIM | seconds | GB" for damage in damages]
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (1 + 4 * len(damages)) + "|"]
    for method in dict.fromkeys(cell.method for cell in cells):
        parts = [
            _mean([one for one in cells if (one.method, one.damage) == (method, damage)])
            for damage in damages
        ]
        lines.append(f"| {method} | " + " | ".join(parts) + " |")
    names = [name or "" for name in known.values()]
    for method in PUBLISHED:
        values = [published_mean(method, damage, names) for damage in damages]
        if any(value is not None for value in values):
            parts = [f"{_number(value, 2)} | | |" for value in values]
            lines.append(f"| *{method}, published* | " + " | ".join(parts) + " |")
    if lines[-1].startswith("| *"):
        lines += ["", PUBLISHED_SOURCE]
    return "\n".join(lines)


def table_csv(cells: Sequence[Cell], conditions: dict[str, str]) -> str:
    """One line per cell, details left out; `conditions` are the same in every line."""
    buffer = io.StringIO()
    rows = [
        {k: v for k, v in asdict(cell).items() if k != "details"} | conditions for cell in cells
    ]
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def mean_quality(cells: Sequence[Cell]) -> tuple[float, float] | None:
    """Mean PSNR and median seconds of the cells, None if one of them failed."""
    if any(cell.psnr is None or cell.seconds is None for cell in cells) or not cells:
        return None
    return fmean(cell.psnr or 0 for cell in cells), median(cell.seconds or 0 for cell in cells)


def _by_image(cells: Sequence[Cell], known: Mapping[str, str | None]) -> list[str]:
    """A table of PSNR for each damage, images in columns, the mean over repeats."""
    lines = []
    for damage in dict.fromkeys(cell.damage for cell in cells):
        lines += [f"| {damage.name} | " + " | ".join(known) + " |"]
        lines += ["|---" * (1 + len(known)) + "|"]
        for method in dict.fromkeys(cell.method for cell in cells):
            chosen = [cell for cell in cells if (cell.method, cell.damage) == (method, damage)]
            qualities = [mean_quality([c for c in chosen if c.image == image]) for image in known]
            values = ["failed" if one is None else f"{one[0]:.2f}" for one in qualities]
            lines.append(f"| {method} | " + " | ".join(values) + " |")
        for method in PUBLISHED:
            numbers = [published(method, damage, name or "") for name in known.values()]
            if any(number is not None for number in numbers):
                values = [_number(number, 2) for number in numbers]
                lines.append(f"| *{method}, published* | " + " | ".join(values) + " |")
        lines.append("")
    return lines


def _mean(cells: Sequence[Cell]) -> str:
    quality = mean_quality(cells)
    if quality is None:
        return "failed | | |"
    similarities = [cell.ssim for cell in cells if cell.ssim is not None]
    similarity = f"{fmean(similarities):.4f}" if similarities else ""
    memory = max((cell.memory for cell in cells if cell.memory is not None), default=None)
    return f"{quality[0]:.2f} | {similarity} | {quality[1]:.1f} | {_number(memory, 2)}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def where_we_lose(cells: Sequence[Cell], known: Mapping[str, str | None]) -> list[str]:
    """A paragraph for each damage on which the default preset was measured.

    Parameters
    ----------
    known : images by name, and what they are called in a named set
    """
    lines = []
    for damage in dict.fromkeys(cell.damage for cell in cells):
        paragraph = _on_damage([cell for cell in cells if cell.damage == damage], damage, known)
        lines += [paragraph, ""] if paragraph else []
    return lines


def _on_damage(
    cells: Sequence[Cell], damage: Damage, known: Mapping[str, str | None]
) -> str | None:
    measured = {
        method: mean_quality([cell for cell in cells if cell.method == method])
        for method in dict.fromkeys(cell.method for cell in cells)
    }
    ours = measured.pop(DEFAULT_PRESET, None)
    if ours is None:
        return None
    quality, seconds = ours
    better = [
        (f"{method} (measured)", found[0] - quality)
        for method, found in measured.items()
        if found is not None and found[0] > quality
    ]
    images = [name or "" for name in known.values()]
    for method in PUBLISHED:
        mean = published_mean(method, damage, images)
        if mean is not None and mean > quality:
            better.append((f"{method} (published)", mean - quality))
    faster = [
        f"{method} {found[0]:.2f} dB in {found[1]:.1f} s"
        for method, found in measured.items()
        if found is not None and found[1] < seconds and method != "noisy"
    ]
    ahead = ", ".join(f"{name} by {gain:.2f} dB" for name, gain in better) or "none of these"
    return (
        f"At {damage.name} `{DEFAULT_PRESET}` has {quality:.2f} dB in {seconds:.1f} s. Better:"
        f" {ahead}. Faster: {', '.join(faster) or 'none of these'}."
    )
