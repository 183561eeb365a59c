"""`python -m denoise.peers IMAGE...` prints the table of benchmark.py."""

import typer

from denoise.peers.benchmark import main

typer.run(main)
