"""`python -m denoise` is the same as `denoise`."""

from denoise.cli.main import main

main()
