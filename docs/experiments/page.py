"""The page of `denoise serve` in a browser: seconds from drop to noise, preview and whole picture.

Needs Chromium and the extras `serve` and `browser`. Run as

    make experiment SCRIPT=page ARGS="IMAGE... --presets fast,balanced"
    make experiment SCRIPT=page ARGS="sample_images/galaxies.png --screenshot docs/page.png"
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Seconds in which the server has a process ready, as it has when somebody has found an image.
READY = 6.0
LONGEST = 3_600_000
WIDTH, HEIGHT = 1100, 760


def main() -> None:
    """Print a table, or write a picture of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--presets", default="balanced")
    parser.add_argument("--screenshot", type=Path, help="of the page with the last result")
    arguments = parser.parse_args()
    print("| image | preset | noise | preview | whole picture |\n|---|---|---|---|---|")
    for image in arguments.images:
        for preset in arguments.presets.split(","):
            with page() as one:
                seconds = drop(one, image.resolve(), preset)
                cells = [f"{seconds[name]:.1f}" if name in seconds else "" for name in EVENTS]
                print(f"| {image.name} | {preset} | " + " | ".join(cells) + " |", flush=True)
                if arguments.screenshot is not None:
                    time.sleep(1)  # until all views are there
                    zoom(one)
                    one.screenshot(path=arguments.screenshot)


# What is waited for, in this order: the selector of an element that is visible then.
EVENTS = {
    "noise": "#noise-found:not(:empty)",
    "preview": ".viewer-preview:visible",
    "done": "#status:has-text('done in')",
}


@contextmanager
def page() -> Iterator[Any]:
    """A page of a server of its own."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "denoise", "serve", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with sync_playwright() as started:
            browser = started.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            one = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            one.goto(url)
            time.sleep(READY)
            yield one
            browser.close()
        server.terminate()


def drop(one: Any, image: Path, preset: str) -> dict[str, float]:
    """Open an image; returns seconds until each event, the preview only if there is one."""
    one.select_option("[name=preset]", preset)
    started = time.perf_counter()
    one.set_input_files("#file", image)
    seconds = {}
    for name, selector in EVENTS.items():
        either = selector if name != "preview" else f"{selector}, {EVENTS['done']}"
        one.locator(either).first.wait_for(timeout=LONGEST)
        seconds[name] = time.perf_counter() - started
    if seconds["done"] - seconds["preview"] < 0.05:
        del seconds["preview"]  # a small image is done as soon as its preview would be
    return seconds


def zoom(one: Any) -> None:
    """Look closer at the part a little left of the middle, where the divider is."""
    box = one.locator("#viewer").bounding_box()
    one.mouse.move(box["x"] + 0.44 * box["width"], box["y"] + 0.3 * box["height"])
    one.mouse.wheel(0, -400)
    one.mouse.move(5, 5)


if __name__ == "__main__":
    main()
