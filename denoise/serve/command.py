"""The command `denoise serve`: open a page on this machine to see, judge and save results."""

from __future__ import annotations

import html
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from denoise.cli.interruption import exit_code, raise_on_sigterm, terminate_on_hangup
from denoise.cli.parser import FILES, GENERAL, Command, option, takes_options
from denoise.cli.shared_options import DEVICE, MAX_PIXELS
from denoise.errors import DenoiseError, PlanError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

ADDRESS = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the page offers, and how it is opened; None: not given."""

    images: list[str] | None = field(
        metadata={
            "typer": typer.Argument(
                None,
                metavar="IMAGE",
                rich_help_panel=FILES,
                help="Images that the page offers: files, folders or patterns.",
            )
        }
    )
    max_pixels: int | None = MAX_PIXELS
    device: str = DEVICE
    browser: bool = option(
        GENERAL, True, "--browser/--no-browser", help="Open the page in a browser, or not."
    )


@app.command(cls=Command)
@takes_options
def serve(options: ServeOptions) -> int:
    """Open a page on this machine: drop an image, look, compare, save.

    Only this machine and only this page can reach the server. Ctrl-C ends it.
    """
    try:
        from denoise.serve.running import run_server
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise DenoiseError(f"serve needs {error.name}: pip install '.[serve]'") from None
    from denoise.serve.folders import make_folder, remove_abandoned, remove_folder

    offers = _offers(options.images or [])
    remove_abandoned()
    token = secrets.token_urlsafe(32)
    with socket.create_server((ADDRESS, 0)) as listener:
        url = f"http://{ADDRESS}:{listener.getsockname()[1]}/#{token}"
        folder = make_folder()
        raise_on_sigterm()
        terminate_on_hangup()
        try:
            typer.echo(f"{url}\nopen it in a browser on this machine; Ctrl-C ends it")
            sys.stdout.flush()
            if options.browser:
                page = _leading_to(url, folder).as_uri()
                # In a thread of its own: a browser in the terminal waits for the server.
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
            run_server(listener, token, offers, _options(options))
        except KeyboardInterrupt as stop:
            return exit_code(stop)
        finally:
            remove_folder(folder)
    return 0


def _offers(names: Sequence[str]) -> list[Path]:
    """The images that are named, or lie in folders and match patterns; all can be opened."""
    from denoise.files.formats import INPUT_SUFFIXES
    from denoise.files.images import check_readable
    from denoise.files.inputs import find_images

    if not names:
        return []
    sources, problems = find_images(names, INPUT_SUFFIXES, recursive=False, skip_stem="")
    if problems:
        raise PlanError(problems[0])
    for source in sources:
        check_readable(source.path)
        if os.path.isdir(source.path):
            raise PlanError(f"{source.path}: is a folder, and the page opens files")
    return [source.path for source in sources]


def _options(options: ServeOptions) -> list[str]:
    """The options of the command `denoise` that hold for all images."""
    given = [] if options.device == "auto" else [f"--device={options.device}"]
    return given if options.max_pixels is None else [*given, f"--max-pixels={options.max_pixels}"]


def _leading_to(url: str, folder: Path) -> Path:
    """A private file that leads to a page: a browser's command line is for all users to read."""
    file = folder / "open.html"
    target = html.escape(url)
    file.write_text(f'<meta http-equiv="refresh" content="0; url={target}">\n')
    return file
