"""`python -m denoise` is the same as `denoise`."""

from denoise.cli import main

main()
