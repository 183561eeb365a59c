"""The picture viewer in a browser: what is seen, and what pointer and keys do."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoise.pictures.viewer import asset
from denoise.pictures.views import as_png

pytestmark = pytest.mark.browser

# On a stage of 800×600 it fits at 200 %.
WIDTH, HEIGHT = 400, 300
# Gray levels of the views.
LEVELS = {"before": 40, "after": 200, "residual": 128, "uncertainty": 90}
PAGE = """<!doctype html><title>test</title><style>{css}
html, body {{ margin: 0 }} #viewer {{ width: 800px; height: 600px }}</style>
<div id="viewer"></div><p>below</p><script type="module">{js}
window.viewer = new Viewer(document.getElementById("viewer"));
window.changes = [];
viewer.onchange = (mode) => changes.push(mode);
</script>"""


def url(level: int, width: int = WIDTH, height: int = HEIGHT) -> str:
    png = as_png(np.full((height, width), level, np.uint8))
    return "data:image/png;base64," + base64.b64encode(png).decode()


def show(page: Any, *names: str) -> None:
    views = {name: url(LEVELS[name]) for name in names}
    shown = {"views": views, "width": WIDTH, "height": HEIGHT}
    page.evaluate("shown => viewer.show(shown)", shown)


@pytest.fixture
def viewer(page: Any) -> Any:
    """The page, with a viewer that shows all views."""
    page.set_content(PAGE.format(css=asset("viewer.css"), js=asset("viewer.js")))
    show(page, *LEVELS)
    page.mouse.move(200, 100)
    return page


def level_at(page: Any, x: int, y: int) -> int:
    """The gray level that is seen at a point."""
    clip = {"x": x, "y": y, "width": 1, "height": 1}
    with Image.open(io.BytesIO(page.screenshot(clip=clip))) as image:
        return int(np.asarray(image.convert("L"))[0, 0])


def mode(page: Any) -> str:
    return str(page.evaluate("viewer.mode"))


def visible(page: Any) -> dict[str, int]:
    return dict(page.evaluate("viewer.visible()"))


def readout(page: Any) -> str:
    return str(page.inner_text(".viewer-readout"))


def test_split_shows_before_on_the_left_and_after_on_the_right(viewer: Any) -> None:
    assert mode(viewer) == "split"
    assert (level_at(viewer, 390, 100), level_at(viewer, 410, 100)) == (40, 200)
    assert "200 %" in readout(viewer)


def test_the_divider_is_dragged_to_the_border_and_back(viewer: Any) -> None:
    viewer.mouse.move(400, 100)
    viewer.mouse.down()
    viewer.mouse.move(900, 100, steps=3)
    assert level_at(viewer, 780, 100) == 40
    handle = "getComputedStyle(document.querySelector('.viewer-line'), '::before').left"
    assert float(viewer.evaluate(handle).removesuffix("px")) + 799 + 36 <= 801  # within the stage
    viewer.mouse.move(600, 100)
    viewer.mouse.up()
    assert (level_at(viewer, 590, 100), level_at(viewer, 610, 100)) == (40, 200)


def test_the_divider_follows_a_click_near_it_only(viewer: Any) -> None:
    viewer.mouse.click(418, 100)
    assert (level_at(viewer, 410, 100), level_at(viewer, 425, 100)) == (40, 200)
    viewer.mouse.click(600, 100)
    assert level_at(viewer, 430, 100) == 200


def test_arrow_keys_move_the_divider_that_has_the_focus(viewer: Any) -> None:
    viewer.focus("input[type=range]")
    for _ in range(10):
        viewer.keyboard.press("ArrowRight")
    assert viewer.input_value("input[type=range]") == "60"
    assert (level_at(viewer, 470, 100), level_at(viewer, 490, 100)) == (40, 200)
    assert "60 %" in viewer.get_attribute("input[type=range]", "aria-valuetext")


@pytest.mark.parametrize(
    ("key", "name"),
    [("1", "before"), ("3", "after"), ("4", "residual"), ("5", "uncertainty")],
)
def test_a_key_shows_a_view_everywhere(viewer: Any, key: str, name: str) -> None:
    viewer.keyboard.press(key)
    assert mode(viewer) == name
    assert level_at(viewer, 100, 100) == level_at(viewer, 700, 100) == LEVELS[name]
    viewer.keyboard.press("2")
    assert viewer.evaluate("changes") == [name, "split"]


def test_a_view_that_is_not_there_is_not_chosen(viewer: Any) -> None:
    viewer.keyboard.press("6")
    assert mode(viewer) == "split"
    viewer.keyboard.press("4")
    show(viewer, "before", "after")  # takes the view away that is shown
    assert mode(viewer) == "split"
    assert viewer.evaluate("viewer.modes") == ["before", "split", "after"]


def test_keys_are_left_to_the_page_elsewhere(viewer: Any) -> None:
    viewer.mouse.move(400, 620)
    viewer.keyboard.press("1")
    assert mode(viewer) == "split"
    viewer.focus(".viewer-stage")  # now they are the viewer's wherever the pointer is
    viewer.keyboard.press("1")
    assert mode(viewer) == "before"


def test_tapping_space_flickers_between_before_and_after(viewer: Any) -> None:
    for name in ("after", "before", "after"):
        viewer.keyboard.press(" ")
        assert mode(viewer) == name
        assert level_at(viewer, 100, 100) == LEVELS[name]


def test_holding_space_shows_the_other_one_until_it_is_released(viewer: Any) -> None:
    viewer.keyboard.press("3")
    viewer.keyboard.down(" ")
    assert mode(viewer) == "before"
    viewer.wait_for_timeout(450)
    viewer.keyboard.down(" ")  # as the keyboard repeats it
    viewer.keyboard.up(" ")
    assert mode(viewer) == "after"


def test_the_wheel_zooms_around_the_pointer(viewer: Any) -> None:
    viewer.mouse.move(200, 150)  # pixel (100, 75)
    viewer.mouse.wheel(0, -500)
    seen = visible(viewer)
    zoom = 800 / seen["width"]
    assert zoom == pytest.approx(2 * np.e, rel=0.02)
    assert seen["left"] + 200 / zoom == pytest.approx(100, abs=1)
    assert seen["top"] + 150 / zoom == pytest.approx(75, abs=1)
    viewer.mouse.wheel(0, 5000)  # not below the whole image, or 100 %
    assert visible(viewer) == {"left": 0, "top": 0, "width": WIDTH, "height": HEIGHT}


def test_a_double_click_is_100_percent_and_back(viewer: Any) -> None:
    viewer.mouse.dblclick(200, 150)
    assert "100 %" in readout(viewer)
    viewer.mouse.dblclick(200, 150)
    assert "200 %" in readout(viewer)


def test_keys_zoom_by_powers_of_two_and_fit(viewer: Any) -> None:
    texts = []
    for key in "++-0--":
        viewer.keyboard.press(key)
        texts.append(readout(viewer).split()[-2])
    assert texts == ["400", "800", "400", "200", "100", "100"]


def test_dragging_moves_and_stays_inside_the_image(viewer: Any) -> None:
    viewer.evaluate("viewer.zoom(2, 0, 0)")
    assert visible(viewer) == {"left": 0, "top": 0, "width": 200, "height": 150}
    viewer.mouse.move(600, 400)
    viewer.mouse.down()
    viewer.mouse.move(560, 320)
    assert visible(viewer) == {"left": 10, "top": 20, "width": 200, "height": 150}
    viewer.mouse.move(-3000, -3000)
    viewer.mouse.up()
    assert visible(viewer) == {"left": 200, "top": 150, "width": 200, "height": 150}
    viewer.keyboard.press("ArrowUp")
    assert visible(viewer)["top"] == 135


def test_two_fingers_zoom(viewer: Any) -> None:
    touch = viewer.context.new_cdp_session(viewer)
    for kind, points in (
        ("touchStart", [(300, 300), (500, 300)]),
        ("touchMove", [(200, 300), (600, 300)]),
    ):
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert visible(viewer)["width"] == pytest.approx(WIDTH / 2, abs=2)


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_strength_mixes_after_over_before(viewer: Any, share: float) -> None:
    viewer.evaluate("share => { viewer.strength = share; }", share)
    assert level_at(viewer, 100, 100) == 40
    assert level_at(viewer, 700, 100) == pytest.approx(40 + share * 160, abs=1)


def test_a_preview_lies_over_after_until_there_is_one(viewer: Any) -> None:
    show(viewer, "before")
    box = {"left": 300, "top": 50, "width": 50, "height": 50}
    viewer.evaluate("([url, box]) => viewer.preview(url, box)", [url(250, 50, 50), box])
    assert (level_at(viewer, 650, 150), level_at(viewer, 790, 150)) == (250, 40)
    viewer.keyboard.press("1")
    assert level_at(viewer, 650, 150) == 40
    show(viewer, "before", "after")
    viewer.keyboard.press("3")
    viewer.wait_for_selector(".viewer-preview", state="hidden")
    assert level_at(viewer, 650, 150) == 200


def test_an_image_of_the_same_size_keeps_the_zoom(viewer: Any) -> None:
    viewer.evaluate("viewer.zoom(4, 0, 0)")
    seen = visible(viewer)
    show(viewer, "before", "after")
    assert visible(viewer) == seen
    viewer.evaluate("url => viewer.show({views: {before: url}, width: 80, height: 60})", url(9))
    assert visible(viewer) == {"left": 0, "top": 0, "width": 80, "height": 60}


def test_a_new_size_of_the_window_keeps_what_fits_fitting(viewer: Any) -> None:
    resize = "width => { document.getElementById('viewer').style.width = `${width}px`; }"
    viewer.evaluate(resize, 400)
    viewer.wait_for_function("document.querySelector('.viewer-readout').innerText.includes('100')")
    assert visible(viewer)["width"] == WIDTH
    viewer.evaluate("viewer.zoom(4)")
    middle = visible(viewer)["left"] + visible(viewer)["width"] / 2
    viewer.evaluate(resize, 600)
    viewer.wait_for_function("viewer.visible().width === 150")
    assert visible(viewer)["left"] + 75 == middle
