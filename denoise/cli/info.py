"""The command `denoise info`: what an image is and what a run would be, before anything is run."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from denoise.cli.loading import modules_kept
from denoise.cli.parser import REPORTS, Command, option, takes_options
from denoise.cli.shared_options import AXES, DEVICE, FRAME, IMAGE, JSON, MAX_PIXELS, OVERWRITE
from denoise.errors import OutputError

if TYPE_CHECKING:
    from denoise.cli.file_info import FileInfo

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

# Width of the column of names, in characters.
NAME_WIDTH = 11


@dataclass(frozen=True, kw_only=True)
class InfoOptions:
    """Which image to look at, and what to write; None: not given."""

    image: Path = IMAGE
    overwrite: bool = OVERWRITE
    frame: int | None = FRAME
    axes: str | None = AXES
    max_pixels: int | None = MAX_PIXELS
    device: str = DEVICE
    figure: Path | None = option(
        REPORTS,
        None,
        metavar="FILE",
        help="Draw the noise: how strong it is where the image is bright or dark, and how it is"
        " correlated.",
    )
    json: bool = JSON


@app.command(cls=Command)
@takes_options
def info(options: InfoOptions) -> int:
    """Say what an image is, what noise it has, and how long a run would take."""
    with modules_kept():
        from denoise.cli.file_info import inspect_file
        from denoise.files.formats import IMAGE_SUFFIXES
        from denoise.files.outputs import check_output

    if options.figure is not None:
        check_output(options.figure, IMAGE_SUFFIXES, overwrite=options.overwrite)
        if os.path.realpath(options.figure) == os.path.realpath(options.image):
            raise OutputError(f"{options.figure}: is the input; give another name")
    found = inspect_file(
        options.image,
        frame=options.frame,
        axes=options.axes,
        max_pixels=options.max_pixels,
        device=options.device,
    )
    command = None if found.problem is not None else _command(found, options)
    if options.figure is not None:
        _draw(options.figure, found, overwrite=options.overwrite)
    if options.json:
        typer.echo(json.dumps(found.fields(command), allow_nan=False))
        return 0
    typer.echo(options.image)
    for name, value in found.lines(command):
        typer.echo(f"  {name:{NAME_WIDTH}}{value}")
    return 0


def _draw(path: Path, found: FileInfo, *, overwrite: bool) -> None:
    """Write the figure, or say that there is no noise to draw."""
    from denoise.cli.file_noise import scale_of
    from denoise.files.images import write_image
    from denoise.pictures.noise import draw_noise

    seen = found.seen
    if seen is None or seen.noise is None:
        typer.echo(f"note: {path}: is not written, there is no noise to draw", err=True)
        return
    picture = draw_noise(seen.noise, seen.pixels, scale_of(found.image))
    write_image(path, picture, overwrite=overwrite)


def _command(found: FileInfo, options: InfoOptions) -> str:
    """What to type to denoise the image, for a shell."""
    from denoise.cli.main import as_argument

    words = ["denoise", as_argument(str(options.image))]
    if found.missing:
        words.append("--fill-missing")
    alone = found.image.frames > 1 and (options.frame is not None or not found.is_series)
    if alone:
        words += ["--frame", str(found.frame)]
    if options.axes is not None:
        words += ["--axes", options.axes]
    if options.max_pixels is not None:
        words += ["--max-pixels", str(options.max_pixels)]
    if options.device != "auto":
        words += ["--device", options.device]
    output = _output(found, alone=alone)
    return shlex.join(words if output is None else [*words, "-o", as_argument(str(output))])


def _output(found: FileInfo, *, alone: bool) -> Path | None:
    """The file for the result if the default name will not do, else None.

    Parameters
    ----------
    alone : whether it is one image of several
    """
    from denoise.cli.plan import DEFAULT_SUFFIX
    from denoise.files.formats import BY_NAME
    from denoise.files.images import check_writable, result_suffix

    image = found.image
    suffix = own = result_suffix(image.path)
    try:
        check_writable(image.path.with_suffix(suffix), image)
    except OutputError:  # such as 16 bits in a file that is called .jpg
        suffix = BY_NAME[image.format].suffixes[0]
    if alone and BY_NAME[image.format].is_folder:
        suffix = ".tif"
    for number in count(1):
        end = DEFAULT_SUFFIX + (str(number) if number > 1 else "") + suffix
        path = image.path.with_name(image.path.stem + end)
        if not os.path.lexists(path):
            break
    return None if number == 1 and suffix == own else path
