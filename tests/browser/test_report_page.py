"""The page about an image in a browser: its script runs under its policy, and shows its views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import noisy_file, run_cli

from denoise.cli.pages import views

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("tiny_preset")]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page that shows a part of its image, and the whole one reduced."""
    monkeypatch.setattr(views, "MOST_PIXELS", 100)
    monkeypatch.setattr(views, "PART", 12)
    noisy_file(tmp_path / "a.png")
    run_cli(str(tmp_path / "a.png"), "--sigma", "20", "--report", str(tmp_path))
    return tmp_path / "a.html"


def pressed(page: Any) -> list[str]:
    return list(page.locator("button[aria-pressed=true]").all_inner_texts())


def test_buttons_and_keys_choose_what_is_shown(page: Any, path: Path) -> None:
    page.goto(path.as_uri())
    assert page.locator("#modes button:visible").all_inner_texts() == [
        *("before", "split", "after", "removed", "uncertainty", "learned patches")
    ]
    part = pressed(page)[1]
    assert pressed(page)[0] == "split"
    assert part.startswith("12×12 pixels from row ")
    page.click("text=removed >> visible=true")
    assert pressed(page) == ["removed", part]
    assert page.inner_text("#caption").startswith("What was removed: gray where nothing was")
    page.keyboard.press("3")
    assert pressed(page)[0] == "after"
    page.focus("text=removed >> visible=true")
    page.keyboard.press(" ")  # chooses, and does not flicker
    assert pressed(page)[0] == "removed"
    page.click("text=whole, reduced to 12×12 >> visible=true")  # it has no such view
    assert pressed(page) == ["split", "whole, reduced to 12×12"]


def test_without_scripts_and_on_paper_the_pictures_are_side_by_side(page: Any, path: Path) -> None:
    page.goto(path.as_uri())
    assert not page.locator("figure[data-view=after]").first.is_visible()
    page.emulate_media(media="print")
    assert page.locator("figure[data-view=after]").first.is_visible()
    assert not page.locator("#viewer").is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(page: Any, path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
