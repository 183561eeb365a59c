"""What the processes of `workers` share: they are copies of one that has imported this module."""

from __future__ import annotations

from denoise.cli.loading import modules_kept

with modules_kept():
    import numba  # noqa: F401

    import denoise.cli.batch  # noqa: F401
