"""The package's public names."""

from __future__ import annotations

import ast
from pathlib import Path

import denoise


def test_public_names_are_sorted_complete_and_can_be_imported() -> None:
    assert denoise.__all__ == sorted(denoise.__all__)
    tree = ast.parse(Path(denoise.__file__).read_text(encoding="utf-8"))
    for_type_checkers = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("denoise.")
        for alias in node.names
    }
    assert {*for_type_checkers, "__version__"} == set(denoise.__all__)
    for name, module in for_type_checkers.items():
        assert getattr(denoise, name).__module__ == module
    assert not hasattr(denoise, "nonsense")
