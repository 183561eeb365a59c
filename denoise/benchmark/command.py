"""`denoise benchmark`: parse, run, write the reports."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from denoise.errors import OptionError
from denoise.presets import PRESETS

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
DEFAULT_METHODS = "noisy,blur,tv,nl-means"
DEFAULT_PRESETS = "fast,balanced"


def _numbers(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"must be numbers such as 15,25,50, got {text!r}") from None
    if not all(0 < value < 1e6 for value in values):
        raise typer.BadParameter(f"must be positive, got {text!r}")
    return values


def _method_names(methods: str | None, presets: str | None) -> list[str]:
    """Presets come after methods; without methods there are the cheap ones, without both more."""
    if methods is None:
        methods, presets = DEFAULT_METHODS, presets or DEFAULT_PRESETS
    chosen = [name.strip() for name in (presets or "").split(",") if name.strip()]
    for name in chosen:
        if name not in PRESETS:
            raise OptionError(f"there is no preset {name!r}; choose from {', '.join(PRESETS)}")
    return [*(name.strip() for name in methods.split(",") if name.strip()), *chosen]


@app.command()
def benchmark(
    *,
    images: Annotated[
        str,
        typer.Option(
            metavar="SET", help="samples; set12, bsd68, kodak24 (downloaded once); a folder."
        ),
    ] = "samples",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the first N images.")
    ] = None,
    sigmas: Annotated[str, typer.Option(metavar="LIST", help="Noise levels.")] = "25",
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Classic methods, networks, other VAEs, our presets.",
            show_default=f"{DEFAULT_METHODS},{DEFAULT_PRESETS}",
        ),
    ] = None,
    presets: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Our presets, added to --methods or to cheap ones."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="K", min=1, help="Different noise so many times.")
    ] = 1,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="unclipped (as papers), or clipped8.")
    ] = "unclipped",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the methods.")] = 0,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda.")] = "auto",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="All numbers.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="One line per cell.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="The report.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Quality over time, as a picture.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Details of what the methods make; with --keep-images."),
    ] = None,
    keep_images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what the methods make.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the cells that --json FILE has not yet.")
    ] = False,
) -> None:
    """Measure methods on clean images with synthetic noise."""
    from denoise.benchmark.datasets import clean_images
    from denoise.benchmark.pictures import contact_sheet, quality_over_time
    from denoise.benchmark.protocol import Protocol, machine
    from denoise.benchmark.registry import known_name
    from denoise.benchmark.runner import Benchmark, Cell, load_cells, save_cells
    from denoise.benchmark.tables import HEADER, cell_row, means, table_csv, where_we_lose
    from denoise.benchmark.tables import markdown as report
    from denoise.errors import DenoiseError
    from denoise.files.images import write_image
    from denoise.files.outputs import write_atomically
    from denoise.methods.table import methods_by_name

    if sheet is not None and keep_images is None:
        raise typer.BadParameter("needs --keep-images DIR", param_hint="--sheet")
    if resume and json is None:
        raise typer.BadParameter("needs --json FILE to go on with", param_hint="--resume")
    try:
        work = Benchmark(
            clean_images(images, limit=limit),
            methods_by_name(_method_names(methods, presets)),
            _numbers(sigmas),
            Protocol(protocol),
            repeats=seeds,
            seed=seed,
            device=device,
            keep_images=keep_images,
        )
        digests = {one.name: one.sha256 for one in work.images}
        header = {
            "protocol": protocol,
            "seed": seed,
            "machine": machine(),
            "images": digests,
        }
        finished = load_cells(json, header) if resume and json is not None else []
    except OptionError as error:
        raise typer.BadParameter(str(error)) from None
    except DenoiseError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    known = {name: known_name(digest) for name, digest in digests.items()}
    described = [f"{known[name] or name} ({digest[:12]})" for name, digest in digests.items()]
    description = [
        *work.protocol.describe(),
        f"Method seed {seed}. {machine()}.",
        f"Images, with the start of their SHA-256: {', '.join(described)}.",
    ]
    cells: list[Cell] = []
    for line in (*description, "", HEADER, "|---" * 8 + "|"):
        typer.echo(line)
    for cell in work.cells(finished):
        cells.append(cell)
        typer.echo(cell_row(cell))
        sys.stdout.flush()
        if json is not None:
            done = {one.key for one in cells}
            waiting = [one for one in finished if one.key not in done]
            save_cells(json, header, description, [*cells, *waiting])
    typer.echo("\n" + means(cells, known))
    if markdown is not None:
        pictures = [
            os.path.relpath(one, markdown.parent) for one in (plot, sheet) if one is not None
        ]
        losses = where_we_lose(cells, known)
        text = report(cells, description, known, losses=losses, pictures=pictures)
        write_atomically(markdown, text.encode())
    if csv is not None:
        conditions = {"protocol": protocol, "method_seed": str(seed), "machine": machine()}
        write_atomically(csv, table_csv(cells, conditions).encode())
    if plot is not None:
        caption = f"images: {len(work.images)}, {protocol} noise, {machine()}"
        write_image(plot, quality_over_time(cells, work.sigmas[0], caption), overwrite=True)
    if sheet is not None and keep_images is not None:
        picture = contact_sheet(work.images, cells, keep_images, work.sigmas[0])
        write_image(sheet, picture, overwrite=True)
    raise typer.Exit(1 if any(cell.error for cell in cells) else 0)
