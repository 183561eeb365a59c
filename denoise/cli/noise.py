"""The command `denoise noise`: measure the noise of an image, for people or for a series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from denoise.cli.parser import FILES, NOISE, Command, option, takes_options
from denoise.cli.shared_options import AXES, FRAME, IMAGE, JSON, MAX_PIXELS, OVERWRITE
from denoise.cli.values import KindOfNoise, parse_kind
from denoise.errors import ImageError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """What to measure on which image, and what to write; None: not given."""

    image: Path = IMAGE
    output: Path | None = option(
        FILES,
        None,
        "--output",
        "-o",
        metavar="FILE.json",
        help="Write the noise to this file, for `denoise IMAGES --noise FILE.json`.",
    )
    overwrite: bool = OVERWRITE
    frame: int | None = FRAME
    axes: str | None = AXES
    max_pixels: int | None = MAX_PIXELS
    kind: KindOfNoise = option(
        NOISE,
        "auto",
        "--noise",
        parser=parse_kind,
        metavar="KIND",
        help="auto, gaussian or poisson-gaussian: what sort of noise to look for.",
    )
    json: bool = JSON


@app.command(cls=Command)
@takes_options
def noise(options: NoiseOptions) -> int:
    """Measure the noise of an image, best of a flat or a dark exposure of the same camera."""
    from denoise.cli.file_noise import scale_of, units_of, without_void
    from denoise.files.images import read_image
    from denoise.files.outputs import check_output, write_atomically
    from denoise.files.samples import without_equal_channels
    from denoise.noise.estimate import measure_noise
    from denoise.noise.pixels import as_pixels
    from denoise.noise.saved import noise_to_json

    if options.output is not None:
        check_output(options.output, [".json"], overwrite=options.overwrite)
    image = read_image(
        options.image, frame=options.frame, axes=options.axes, max_pixels=options.max_pixels
    )
    if image.find_non_finite() is not None:
        raise ImageError(f"{options.image}: has pixels that are not finite; measure on another")
    try:
        pixels = as_pixels(without_equal_channels(image.pixels))
        measured = measure_noise(without_void(pixels, image.void), options.kind)
    except ImageError as error:
        raise ImageError(f"{options.image}: {error}; measure on another") from None
    found = measured.noise
    if found is None:
        why = measured.doubt or "there is no noise to speak of"
        raise ImageError(f"{options.image}: {why}")
    text = noise_to_json(found, units_of(image))
    if options.output is not None:
        write_atomically(options.output, text.encode() + b"\n")
    typer.echo(text if options.json else f"{options.image}: {found.summary(scale_of(image))}")
    return 0
