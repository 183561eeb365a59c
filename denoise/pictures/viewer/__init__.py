"""A picture viewer for web pages, in plain JavaScript and CSS: one image, before and after."""

from __future__ import annotations

from importlib.resources import files


def asset(name: str) -> str:
    """The text of "viewer.js", an ES module without imports, or of "viewer.css"."""
    return files(__name__).joinpath(name).read_text("utf-8")
