"""The page of `denoise serve` in a browser, from dropping an image to saving the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import noisy_file
from page_server import PageServer, wait_for
from page_steps import (
    PATIENCE,
    QUICK,
    command_bytes,
    drop,
    paste,
    save,
    seen,
    until_all_is_shown,
    until_status,
)
from PIL import Image

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")
pytestmark = pytest.mark.browser


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "noisy.png"
    noisy_file(path)
    return path


@pytest.fixture
def opened(page: Any, server: PageServer) -> Any:
    """The page; when it has been left, nothing of it is left on the server."""
    page.goto(server.url)
    page.select_option("[name=preset]", QUICK)
    yield page
    page.goto("about:blank")
    wait_for(lambda: server.left_over() == [])


@pytest.fixture
def requested(page: Any) -> list[str]:
    """The addresses of all requests of the page, also of those to come."""
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    return addresses


def test_drop_look_and_save(opened: Any, image: Path, tmp_path: Path) -> None:
    drop(opened, image)
    until_all_is_shown(opened)
    assert opened.inner_text("#name") == "noisy.png"
    assert opened.inner_text("#facts") == "PNG, 24x24 gray"
    assert opened.inner_text("#noise-found").startswith("noise: ")
    assert save(opened, tmp_path / "saved.png") == "noisy_denoised.png"
    assert (tmp_path / "saved.png").read_bytes() == command_bytes(image)
    for name in ("before", "after", "residual", "uncertainty", "model", "split"):
        opened.check(f"[name=view][value={name}]", force=True)
        visible = opened.locator(f".viewer-layers img.viewer-{name}")
        assert name == "split" or visible.is_visible()


def test_a_pasted_image_is_opened(opened: Any, image: Path, tmp_path: Path) -> None:
    paste(opened, image)
    until_all_is_shown(opened)
    assert opened.inner_text("#name") == "noisy.png"
    save(opened, tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == command_bytes(image)


def test_nothing_is_requested_from_elsewhere(
    requested: list[str], opened: Any, server: PageServer, image: Path, tmp_path: Path
) -> None:
    drop(opened, image)
    until_all_is_shown(opened)
    save(opened, tmp_path / "saved.png")
    opened.click("#copy")
    until_status(opened, "^denoise ")
    own = f"http://{server.host}:{server.port}/"
    # Pictures have addresses that the page makes itself, blob:http://127.0.0.1:...
    assert [url for url in requested if not url.removeprefix("blob:").startswith(own)] == []
    paths = {url.removeprefix(own).partition("#")[0] for url in requested}
    assert {"", "page.js", "viewer.js", "page.css", "offers", "command"} <= paths


def test_a_time_budget_is_kept_and_part_of_the_command(opened: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    opened.select_option("[name=preset]", "best")
    opened.fill("[name=sigma]", "20")
    budget = 15
    opened.fill("[name=time_budget]", f"{budget}s")
    opened.set_input_files("#file", tmp_path / "large.png")
    until_status(opened, "^done in ")
    seconds = float(opened.inner_text("#status").split()[2])
    assert seconds < 2 * budget
    opened.click("#copy")
    until_status(opened, f"^denoise large.png --preset=best --sigma=20 --time-budget={budget}s$")


def test_a_time_budget_that_is_too_small_is_said(opened: Any, image: Path) -> None:
    opened.fill("[name=time_budget]", "0.1s")
    drop(opened, image)
    until_status(opened, "^done in ")
    assert "over the time budget" in opened.inner_text("#notes")


def test_strength_mixes_in_the_browser_and_is_saved(
    opened: Any, image: Path, tmp_path: Path
) -> None:
    drop(opened, image)
    until_all_is_shown(opened)
    opened.check("[name=view][value=before]", force=True)
    before = seen(opened)
    opened.check("[name=view][value=after]", force=True)
    after = seen(opened)
    opened.fill("[name=strength]", "40")
    assert opened.inner_text("[name=share]") == "40 %"
    assert np.abs(seen(opened) - (0.6 * before + 0.4 * after)).mean() < 2
    assert np.abs(before - after).mean() > 5
    save(opened, tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == command_bytes(image, "--strength", "0.4")
    opened.click("#copy")
    until_status(opened, "^denoise noisy.png --preset=fast --strength=0.4$")


def test_the_divider_is_dragged_and_moved_by_keys(opened: Any, image: Path) -> None:
    drop(opened, image)
    until_all_is_shown(opened)
    divider = opened.get_by_role("slider", name="Divider")
    assert divider.input_value() == "50"
    box = opened.locator("#viewer").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + 30
    opened.mouse.move(*middle)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] * 0.8, middle[1], steps=4)
    opened.mouse.up()
    assert divider.input_value() == "80"
    opened.keyboard.press("ArrowLeft")
    assert divider.input_value() == "79"
    opened.keyboard.press("1")
    assert opened.is_checked("[name=view][value=before]")


def test_other_choices_start_anew(opened: Any, image: Path) -> None:
    drop(opened, image)
    until_all_is_shown(opened)
    opened.fill("[name=sigma]", "7")
    opened.keyboard.press("Enter")
    opened.locator("#noise-found", has_text="sigma 7 of 255").wait_for(timeout=PATIENCE)
    until_all_is_shown(opened)
    opened.fill("[name=sigma]", "many")
    opened.keyboard.press("Enter")
    until_status(opened, "must be a number or auto")


def test_stop_and_begin_again(opened: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 600), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    opened.select_option("[name=preset]", "best")
    opened.fill("[name=sigma]", "20")
    opened.set_input_files("#file", tmp_path / "large.png")
    until_status(opened, "learning")
    assert opened.is_disabled("#save")
    opened.click("#stop")
    until_status(opened, "^stopped$")
    assert opened.is_enabled("#run")
    opened.click("#run")
    until_status(opened, "learning")


def test_a_broken_file_is_said_and_the_next_one_is_opened(
    opened: Any, image: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "<img src=x onerror=alert(1)>.png"
    broken.write_bytes(image.read_bytes()[:300])
    opened.set_input_files("#file", broken)
    until_status(opened, "breaks off")
    assert opened.inner_text("#name") == broken.name
    assert opened.is_disabled("#save")
    drop(opened, image)
    until_all_is_shown(opened)


def test_missing_pixels_are_said_and_filled_in(opened: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(0.5, 0.1, (24, 24)).astype(np.float32)
    pixels[5, 6] = np.nan
    Image.fromarray(pixels).save(tmp_path / "cells.tif")
    opened.set_input_files("#file", tmp_path / "cells.tif")
    until_status(opened, "1 pixels are not finite .* use “Fill missing pixels”")
    opened.get_by_label("Fill missing pixels").check()
    until_all_is_shown(opened)
    assert save(opened, tmp_path / "saved.tif") == "cells_denoised.tif"
    assert np.isfinite(np.asarray(Image.open(tmp_path / "saved.tif"))).all()


def test_two_tabs_have_an_image_each(opened: Any, server: PageServer, image: Path) -> None:
    other = opened.context.new_page()
    other.goto(server.url)
    other.select_option("[name=preset]", QUICK)
    second = image.with_name("second.png")
    noisy_file(second, seed=5)
    drop(opened, image)
    drop(other, second)
    for page in (opened, other):
        until_all_is_shown(page)
    for page, path in ((opened, image), (other, second)):
        saved = path.with_name("saved.png")
        save(page, saved)
        assert saved.read_bytes() == command_bytes(path)
    assert len(server.left_over()) == 2
    other.close(run_before_unload=True)
    wait_for(lambda: len(server.left_over()) == 1)


def test_a_page_that_is_loaded_again_has_let_its_image_go(
    opened: Any, server: PageServer, image: Path
) -> None:
    drop(opened, image)
    until_all_is_shown(opened)
    opened.reload()
    wait_for(lambda: server.left_over() == [])
    assert opened.inner_text("#name") == "denoise"


def test_images_of_the_command_line_are_opened_at_once(
    page: Any, tmp_path: Path, image: Path
) -> None:
    noisy_file(tmp_path / "other.png", seed=1)
    folder = tmp_path / "private"
    folder.mkdir()
    server = PageServer(folder, [str(image), str(tmp_path / "other.png")])
    page.goto(server.url)
    until_status(page, r"^done in ")
    assert page.inner_text("#name") == "noisy.png"
    page.select_option("#offers", label="other.png")
    page.locator("#name", has_text="other.png").wait_for()
    assert server.end() == ""
    until_status(page, "the server has closed the image")


def test_without_the_token_the_page_says_what_to_do(page: Any, server: PageServer) -> None:
    page.goto(server.url.partition("#")[0])
    until_status(page, "open the address that the server printed")
