"""What the command `denoise` and `python -m denoise` run."""

from __future__ import annotations

import sys


def main() -> None:
    """The command line; Ctrl-C ends it quietly, also while modules are loaded."""
    try:
        from denoise.cli.main import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
