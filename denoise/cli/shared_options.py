"""Options that several commands have, each the default of a field of its name. No torch here."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

import typer

from denoise.cli.parser import FILES, GENERAL, REPORTS, option
from denoise.cli.values import parse_axes

IMAGE: Path = field(
    metadata={
        "typer": typer.Argument(metavar="IMAGE", rich_help_panel=FILES, help="The image: a file.")
    }
)
OVERWRITE: bool = option(FILES, False, "--overwrite", help="Replace files that exist.")
FRAME: int | None = option(
    FILES, None, min=1, metavar="N", help="Take page or frame N alone, from 1, of several."
)
AXES: str | None = option(
    FILES,
    None,
    metavar="NAMES",
    parser=parse_axes,
    help="What the images of a file are, slowest first, such as TCYX for time and channels, with"
    " lengths where it does not say how many, such as T6C2YX (default: as the file says). Each"
    " channel has a noise of its own.",
)
MAX_PIXELS: int | None = option(
    FILES, None, min=1, metavar="N", help="Refuse images above N pixels (default: 89 million)."
)
JSON: bool = option(
    REPORTS, False, "--json", help="Print a JSON object for each image, for programs."
)
SEED: int = option(
    GENERAL, 0, min=0, max=2**31 - 1, metavar="N", help="The same seed gives the same result."
)
DEVICE: str = option(
    GENERAL,
    "auto",
    metavar="NAME",
    help="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:N, mps.",
)
