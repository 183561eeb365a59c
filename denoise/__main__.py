"""`python -m denoise` is the same as `denoise`."""

from denoise.cli import app

app(prog_name="denoise")
