"""What somebody does with the page of `denoise serve`, and what the command writes instead."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from denoise.cli.main import app

# An image of 24×24 takes a second or two with this preset.
QUICK = "fast"
# How long something may take in the page, in milliseconds.
PATIENCE = 60_000


def transfer_of(page: Any, path: Path) -> Any:
    """A file on its way to the page, as a file manager or another program would hand it over."""
    data = base64.b64encode(path.read_bytes()).decode()
    return page.evaluate_handle(
        """([data, name]) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            return transfer;
        }""",
        [data, path.name],
    )


def drop(page: Any, path: Path) -> None:
    """Drop a file on the page."""
    transfer = transfer_of(page, path)
    page.dispatch_event("main", "dragover", {"dataTransfer": transfer})
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})


def paste(page: Any, path: Path) -> None:
    """Paste a file that was copied elsewhere."""
    page.evaluate(
        """(clipboardData) => document.body.dispatchEvent(
            new ClipboardEvent("paste", { clipboardData, bubbles: true }))""",
        transfer_of(page, path),
    )


def until_status(page: Any, pattern: str) -> None:
    page.get_by_role("status").filter(has_text=re.compile(pattern)).wait_for(timeout=PATIENCE)


def until_all_is_shown(page: Any) -> None:
    """Wait for the result and all views of it."""
    until_status(page, r"^done in ")
    page.locator("[name=view][value=model]:enabled").wait_for(state="attached", timeout=PATIENCE)


def command_bytes(image: Path, *options: str) -> bytes:
    output = image.with_name("command.png")
    arguments = [str(image), "-o", str(output), "--overwrite", f"--preset={QUICK}", *options]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return output.read_bytes()


def save(page: Any, to: Path) -> str:
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(to)
    return str(download.value.suggested_filename)


def seen(page: Any) -> Any:
    """The gray levels of the part of the screen with the picture."""
    with Image.open(io.BytesIO(page.locator(".viewer-layers").screenshot())) as shot:
        return np.asarray(shot.convert("L"), np.float64)
