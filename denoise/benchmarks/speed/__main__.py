"""`python -m denoise.benchmarks.speed`."""

import typer

from denoise.benchmarks.speed.command import main

typer.run(main)
