"""`python -m denoise.benchmark.speed`."""

import typer

from denoise.benchmark.speed.command import main

typer.run(main)
