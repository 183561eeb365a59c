"""The picture viewer's files: whole, and without anything from elsewhere."""

from __future__ import annotations

import re

import pytest

from denoise.pictures.viewer import asset


def test_the_viewer_is_one_module_without_imports() -> None:
    script = asset("viewer.js")
    assert "export class Viewer" in script
    assert not re.search(r"\bimport\b", script)


@pytest.mark.parametrize("name", ["viewer.js", "viewer.css"])
def test_nothing_comes_from_elsewhere(name: str) -> None:
    assert not re.search(r"https?:|url\(|@import|innerHTML|</", asset(name))


def test_pages_can_reuse_the_colours_in_light_and_dark() -> None:
    light, dark = asset("viewer.css").split("@media (prefers-color-scheme: dark)")
    for name in ("--ground", "--text", "--faint", "--accent", "--line"):
        assert f"{name}:" in light
        assert f"{name}:" in dark
