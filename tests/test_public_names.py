"""The package's public names."""

from __future__ import annotations

import denoise


def test_every_public_name_is_there() -> None:
    for name in denoise.__all__:
        assert getattr(denoise, name) is not None
