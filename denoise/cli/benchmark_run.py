"""Run a benchmark: print a line for each cell, then write the reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import typer

from denoise.benchmark.datasets import clean_images
from denoise.benchmark.pictures import contact_sheet, quality_over_time
from denoise.benchmark.protocol import Damage, Protocol, machine
from denoise.benchmark.registry import known_name
from denoise.benchmark.runner import Benchmark, Cell, load_cells, save_cells
from denoise.benchmark.tables import HEADER, cell_row, markdown, means, table_csv, where_we_lose
from denoise.cli.benchmark_options import (
    DEFAULT_METHODS,
    DEFAULT_MISSING,
    DEFAULT_PRESETS,
    INPAINTING_METHODS,
    BenchmarkOptions,
)
from denoise.errors import OptionError
from denoise.files.images import write_image
from denoise.files.outputs import write_atomically
from denoise.methods.table import NOT_REFINED, REFINED, methods_by_name
from denoise.presets import PRESETS


def run_benchmark(options: BenchmarkOptions) -> int:
    """Measure, print and write what the options ask for; returns 1 if a cell failed, else 0.

    Raises
    ------
    OptionError
        If a name, a number or a file to go on with does not fit.
    DenoiseError
        If an image cannot be read, or a report not be written.
    """
    work = Benchmark(
        clean_images(options.images, limit=options.limit),
        methods_by_name(_method_names(options)),
        _damages(options),
        Protocol(options.protocol),
        repeats=options.seeds,
        seed=options.seed,
        device=options.device,
        keep_images=options.keep_images,
    )
    digests = {one.name: one.sha256 for one in work.images}
    known = {name: known_name(digest) for name, digest in digests.items()}
    described = [f"{known[name] or name} ({digest[:12]})" for name, digest in digests.items()]
    description = [
        *work.protocol.describe(missing=options.task == "inpainting"),
        f"Method seed {options.seed}. {machine()}.",
        f"Images, with the start of their SHA-256: {', '.join(described)}.",
    ]
    cells = _run_cells(work, options, description)
    typer.echo("\n" + means(cells, known))
    _write_reports(work, options, cells, known, description)
    return 1 if any(cell.error for cell in cells) else 0


def _damages(options: BenchmarkOptions) -> list[Damage]:
    """Every sigma with every share of missing pixels."""
    inpainting = options.task == "inpainting"
    sigmas = _numbers("--sigmas", options.sigmas or ("0" if inpainting else "25"), "15,25,50")
    if not all(0 <= sigma < 1e6 for sigma in sigmas) or (0 in sigmas and not inpainting):
        raise OptionError(f"--sigmas must be positive, got {options.sigmas!r}")
    if not inpainting:
        return [Damage(sigma) for sigma in sigmas]
    shares = _numbers("--missing", options.missing or DEFAULT_MISSING, DEFAULT_MISSING)
    if not all(0 < share < 1 for share in shares):
        raise OptionError(f"--missing must be shares between 0 and 1, got {options.missing!r}")
    return [Damage(sigma, share) for sigma in sigmas for share in shares]


def _numbers(option: str, text: str, example: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"{option} must be numbers such as {example}, got {text!r}") from None


def _method_names(options: BenchmarkOptions) -> list[str]:
    """Presets come after methods; without methods there are the cheap ones, without both more."""
    methods, presets = options.methods, options.presets
    if methods is None:
        cheap = INPAINTING_METHODS if options.task == "inpainting" else DEFAULT_METHODS
        methods, presets = cheap, presets or DEFAULT_PRESETS
    chosen = [name.strip() for name in (presets or "").split(",") if name.strip()]
    for name in chosen:
        if name not in PRESETS:
            raise OptionError(f"there is no preset {name!r}; choose from {', '.join(PRESETS)}")
    names = [*(name.strip() for name in methods.split(",") if name.strip()), *chosen]
    if not options.refine:
        return names
    return [one for name in names for one in (name, name + REFINED) if one == name or _alone(name)]


def _alone(name: str) -> bool:
    """Whether a method is without refinement and can be followed by one."""
    return name not in NOT_REFINED and not name.endswith(REFINED)


def _run_cells(
    work: Benchmark, options: BenchmarkOptions, description: Sequence[str]
) -> list[Cell]:
    """Print every cell when it is done, and save all of them."""
    file = options.json
    digests = {one.name: one.sha256 for one in work.images}
    conditions = {"protocol": options.protocol, "seed": options.seed, "machine": machine()}
    header = {**conditions, "images": digests}
    finished = load_cells(file, header) if options.resume and file is not None else []
    cells: list[Cell] = []
    for line in (*description, "", HEADER, "|---" * 8 + "|"):
        typer.echo(line)
    for cell in work.cells(finished):
        cells.append(cell)
        typer.echo(cell_row(cell))
        sys.stdout.flush()
        if file is not None:
            done = {one.key for one in cells}
            waiting = [one for one in finished if one.key not in done]
            save_cells(file, header, description, [*cells, *waiting])
    return cells


def _write_reports(
    work: Benchmark,
    options: BenchmarkOptions,
    cells: Sequence[Cell],
    known: Mapping[str, str | None],
    description: Sequence[str],
) -> None:
    if options.markdown is not None:
        folder = options.markdown.parent
        pictures = [os.path.relpath(one, folder) for one in (options.plot, options.sheet) if one]
        losses = where_we_lose(cells, known)
        text = markdown(cells, description, known, losses=losses, pictures=pictures)
        write_atomically(options.markdown, text.encode())
    if options.csv is not None:
        seed = str(options.seed)
        conditions = {"protocol": options.protocol, "method_seed": seed, "machine": machine()}
        write_atomically(options.csv, table_csv(cells, conditions).encode())
    if options.plot is not None:
        caption = f"images: {len(work.images)}, {options.protocol} noise, {machine()}"
        picture = quality_over_time(cells, work.damages[0], caption)
        write_image(options.plot, picture, overwrite=True)
    if options.sheet is not None and options.keep_images is not None:
        picture = contact_sheet(work.images, cells, options.keep_images, work.damages[0])
        write_image(options.sheet, picture, overwrite=True)
