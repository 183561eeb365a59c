"""The command `denoise benchmark`: methods side by side on the same noisy images."""

from __future__ import annotations

import typer

from denoise.cli.benchmark_options import BenchmarkOptions
from denoise.cli.parser import Command, takes_options
from denoise.errors import OptionError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(cls=Command)
@takes_options
def benchmark(options: BenchmarkOptions) -> int:
    """Measure methods on clean images with synthetic noise."""
    if options.sheet is not None and options.keep_images is None:
        raise OptionError("--sheet needs --keep-images DIR")
    if options.missing is not None and options.task != "inpainting":
        raise OptionError("--missing needs --task inpainting")
    if options.resume and options.json is None:
        raise OptionError("--resume needs --json FILE to go on with")
    from denoise.cli.benchmark_run import run_benchmark  # needs torch, which takes its time

    return run_benchmark(options)
