"""`PYTHONPATH=docs/experiments python -m speed`."""

import typer

from speed.command import main

typer.run(main)
