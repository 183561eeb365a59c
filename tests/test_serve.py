"""`denoise serve`: what the page gets is what the command writes, and nothing is left behind."""

from __future__ import annotations

import asyncio
import io
import os
import shlex
import signal

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")

from conftest import noisy_file
from page_server import PageServer, processes_of, until, wait_for

from denoise.cli.main import app
from denoise.errors import DenoiseError, OptionError
from denoise.files.images import read_image
from denoise.serve import sessions as sessions_module
from denoise.serve.child import Child
from denoise.serve.choices import command_line, options_of, settings_of
from denoise.serve.command import app as serve_app
from denoise.serve.folders import make_folder, remove_abandoned
from denoise.serve.sessions import GRACE, Sessions

CHOICES = {"preset": "fast", "sigma": "20", "seed": "3"}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "noisy photo.png"
    noisy_file(path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory, image):
    running = PageServer(tmp_path_factory.mktemp("private"), ["--device=cpu", str(image)])
    yield running
    assert running.end() == ""


@pytest.fixture(scope="module")
def command_bytes(image, tmp_path_factory):
    """What the command writes with some strength."""

    def run(strength: float) -> bytes:
        output = tmp_path_factory.mktemp("command") / "out.png"
        options = [f"--{name}={value}" for name, value in CHOICES.items()]
        arguments = [str(image), "-o", str(output), f"--strength={strength}", *options]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        return output.read_bytes()

    return run


@pytest.fixture(scope="module")
def done(server, image):
    """A session whose image has been denoised, and its events."""
    session = server.upload(image.read_bytes(), "noisy%20photo.png")
    with server.listening(session) as events:
        body = {"choices": CHOICES}
        server.ask(f"/sessions/{session}/open", "POST", body)
        told = [until(events, "read"), until(events, "noise")]
        server.ask(f"/sessions/{session}/denoise", "POST", body)
        told += [
            until(events, "started"),
            until(events, "progress"),
            until(events, "done", "failed"),
        ]
        yield session, {event["event"]: event for event in told}


def test_the_page_is_told_what_happens(done):
    _, told = done
    assert told["read"] == {
        "event": "read",
        "width": 24,
        "height": 24,
        "description": "PNG, 24x24 gray",
    }
    assert told["noise"]["noise"] == "sigma 20 of 255"
    assert told["progress"]["stage"] == "learning"
    assert told["done"]["noise"] == "sigma 20 of 255"
    assert told["done"]["device"] == "cpu"
    assert told["done"]["views"] == ["after", "residual", "uncertainty", "model"]


@pytest.mark.parametrize("strength", [1, 0.5, 0])
def test_saved_bytes_are_those_of_the_command(server, done, command_bytes, strength):
    session, _ = done
    answer = server.ask(f"/sessions/{session}/result?strength={strength}")
    assert answer.status == 200
    assert answer.body == command_bytes(strength)


def test_views_are_pictures_of_the_result(server, done, image, command_bytes):
    session, _ = done

    def view(name):
        answer = server.ask(f"/sessions/{session}/views/{name}")
        assert answer.headers["Content-Type"] == "image/png"
        return read_image(answer.body).pixels

    assert np.array_equal(view("before"), read_image(image).pixels)
    after = read_image(command_bytes(1)).pixels
    assert np.array_equal(view("after"), after)
    removed = read_image(image).pixels - after
    shown = view("residual") - 128
    assert np.array_equal(np.sign(shown[abs(removed) > 1]), np.sign(removed[abs(removed) > 1]))
    assert view("uncertainty").shape == (24, 24)
    assert view("uncertainty").max() == 255
    assert view("model").shape[2] == 3


def test_the_command_that_is_shown_can_be_run(server, image, tmp_path, command_bytes, monkeypatch):
    choices = {**CHOICES, "strength": 0.5}
    answer = server.ask("/command", "POST", {"name": image.name, "choices": choices})
    words = shlex.split(answer.json["command"])
    assert words[:2] == ["denoise", "noisy photo.png"]
    (tmp_path / image.name).write_bytes(image.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert (tmp_path / "noisy photo_denoised.png").read_bytes() == command_bytes(0.5)


def test_images_of_the_command_line_are_offered(server, image):
    assert server.ask("/offers").json["names"] == ["noisy photo.png"]
    assert server.ask("/offers/0").body == image.read_bytes()


def test_other_choices_are_seen_anew(server, done, image):
    with server.session(image.read_bytes()) as session, server.listening(session) as events:
        server.ask(f"/sessions/{session}/open", "POST", {"choices": {"sigma": "0"}})
        assert until(events, "noise", "failed")["noise"] is None
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": {"sigma": "0"}})
        assert until(events, "done")["views"] == ["after", "residual"]
        assert server.ask(f"/sessions/{session}/result").body == image.read_bytes()
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": CHOICES})
        assert until(events, "noise", "failed")["noise"] == "sigma 20 of 255"
        until(events, "done")


def test_what_fails_is_said_and_can_be_mended(server, tmp_path):
    pixels = np.random.default_rng(0).normal(0.5, 0.1, (24, 24)).astype(np.float32)
    pixels[3, 4] = np.nan
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")
    with (
        server.session(buffer.getvalue(), "cells.tif") as session,
        server.listening(session) as events,
    ):
        server.ask(f"/sessions/{session}/open", "POST", {})
        assert until(events, "failed")["error"] == (
            "1 pixels are not finite (first at row 3, column 4); use --fill-missing"
        )
        assert server.ask(f"/sessions/{session}/result").status == 400
        choices = {"preset": "fast", "sigma": "0.1", "fill_missing": True}
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": choices})
        assert until(events, "done", "failed")["event"] == "done"
        saved = read_image(server.ask(f"/sessions/{session}/result").body)
        assert saved.format == "TIFF"
        assert np.isfinite(saved.pixels).all()


def test_stop_ends_the_process_and_the_image_stays_open(server, tmp_path):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    session = server.upload(buffer.getvalue())
    body = {"choices": {"preset": "best", "sigma": "20"}}
    with server.listening(session) as events:
        server.ask(f"/sessions/{session}/denoise", "POST", body)
        until(events, "progress")
        before = processes_of(server.process.pid)
        assert server.ask(f"/sessions/{session}/denoise", "POST", body).status == 409
        assert server.ask(f"/sessions/{session}/result").status == 409
        assert server.ask(f"/sessions/{session}/stop", "POST", b"").status == 204
        until(events, "stopped")
        assert len(set(before) - set(processes_of(server.process.pid))) == 1
        assert server.ask(f"/sessions/{session}/result").status == 400
        # It can be begun again, and closed in the middle of it.
        server.ask(f"/sessions/{session}/denoise", "POST", body)
        until(events, "progress")
        folders = server.left_over()
        assert server.ask(f"/sessions/{session}", "DELETE").status == 204
        until(events, "closed")
    assert len(set(folders) - set(server.left_over())) == 1


def test_a_process_that_dies_is_said_and_replaced(server, image):
    with server.session(image.read_bytes()) as session, server.listening(session) as events:
        before = set(processes_of(server.process.pid))
        server.ask(f"/sessions/{session}/open", "POST", {"choices": CHOICES})
        until(events, "noise")
        for number in before:  # one of them is the process of this image
            os.kill(number, signal.SIGKILL)
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": CHOICES})
        assert "too little memory" in until(events, "failed")["error"]
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": CHOICES})
        assert until(events, "done", "failed")["event"] == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_end_of_the_server_leaves_no_process_and_no_image(image, tmp_path, number):
    server = PageServer(tmp_path, [])
    session = server.upload(image.read_bytes())
    with server.listening(session) as events:
        server.ask(f"/sessions/{session}/open", "POST", {"choices": CHOICES})
        until(events, "noise")
        children = processes_of(server.process.pid)
        assert children
        assert server.end(number) == ""
    wait_for(lambda: not [one for one in children if os.path.exists(f"/proc/{one}")])
    assert server.left_over() == []
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []
        assert server.process.returncode == (130 if number == signal.SIGINT else 143)


def test_a_connection_that_breaks_off_closes_the_image(server, image):
    session = server.upload(image.read_bytes())
    with server.listening(session) as events:
        server.ask(f"/sessions/{session}/open", "POST", {"choices": CHOICES})
        until(events, "noise")
        folders = server.left_over()
    wait_for(lambda: len(set(folders) - set(server.left_over())) == 1, 1.5 * GRACE)
    assert server.ask(f"/sessions/{session}/stop", "POST", b"").status == 404


def test_bytes_are_the_same_after_a_preview_and_after_another_run(server, image, tmp_path):
    output = tmp_path / "out.png"
    arguments = [str(image), "-o", str(output), "--preset=balanced", "--sigma=20", "--seed=3"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    choices, part = {**CHOICES, "preset": "balanced"}, [0, 0, 16, 16]
    with server.session(image.read_bytes()) as session, server.listening(session) as events:
        for body in ({"choices": CHOICES}, {"choices": choices, "part": part}):
            server.ask(f"/sessions/{session}/denoise", "POST", body)
            assert until(events, "done", "failed")["event"] == "done"
        told = server.ask(f"/sessions/{session}/views/preview")
        assert read_image(told.body).pixels.shape == (24, 24)
        assert server.ask(f"/sessions/{session}/result").body == output.read_bytes()


def test_a_view_that_there_is_not_is_an_error(server, image):
    with server.session(image.read_bytes()) as session, server.listening(session) as events:
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": {"sigma": "0"}})
        until(events, "done")
        for name in ("model", "uncertainty", "preview"):
            answer = server.ask(f"/sessions/{session}/views/{name}")
            assert (answer.status, "no view" in answer.json["error"]) == (400, True)


def test_the_image_of_a_page_that_is_gone_is_closed(image, monkeypatch):
    async def run() -> None:
        sessions = Sessions()
        listened, left = sessions.new(".png"), sessions.new(".png")
        listened.listeners = 1
        await asyncio.sleep(0.5)
        assert listened.folder.exists()
        assert not left.folder.exists()
        with pytest.raises(KeyError):
            sessions.find(left.id)
        assert sessions.find(listened.id) is listened
        await sessions.close_all()
        assert not listened.folder.exists()

    monkeypatch.setattr(sessions_module, "GRACE", 0.2)
    asyncio.run(run())


def test_a_process_that_cannot_be_started_is_said_and_leaves_nothing(monkeypatch, capsys):
    async def no_process() -> None:
        raise OSError("too many processes")

    async def run() -> list[str]:
        sessions = Sessions()
        await sessions.prepare()
        session = sessions.new(".png")
        session.begin(session.open([]))
        told = []
        async for event in session.events():
            told.append(event.get("error", event["event"]))
            if event["event"] == "failed":
                await sessions.close(session)
        assert not session.folder.exists()
        with pytest.raises(DenoiseError, match="has been closed"):
            session.begin(session.open([]))
        await sessions.close_all()
        with pytest.raises(DenoiseError, match="the server is ending"):
            sessions.new(".png")
        return told

    monkeypatch.setattr(Child, "start", no_process)
    assert asyncio.run(run()) == ["internal error: too many processes", "closed"]
    assert "OSError: too many processes" in capsys.readouterr().err


def test_folders_of_a_server_that_was_killed_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = make_folder()
    names = ("denoise-serve-999999999-abc", "denoise-serve-x", "denoise-serve-1-abc", "other")
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "denoise-serve-999999998-link").symlink_to(tmp_path / "other")
    remove_abandoned()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {mine.name, *names[1:], "denoise-serve-999999998-link"}


def test_images_that_are_not_there_are_said_at_once(tmp_path):
    (tmp_path / "text.png").write_text("text")
    for name, reason, code in (
        ("nothing.png", "nothing.png: no such file", 1),
        ("text.png", "text.png: not an image", 1),
        (".", "no image", 2),
    ):
        folder = tmp_path if name != "." else tmp_path / "empty"
        folder.mkdir(exist_ok=True)
        result = CliRunner().invoke(serve_app, [str(folder / name)])
        assert result.exit_code == code
        assert reason in result.stderr


def test_choices_are_options_of_the_command():
    choices = {
        "preset": "fast",
        "noise": None,
        "sigma": 25,
        "time_budget": "30s",
        "fill_missing": True,
        "keep_outliers": False,
    }
    options = options_of(choices)
    assert options == ["--preset=fast", "--sigma=25", "--time-budget=30s", "--fill-missing"]
    settings = settings_of(options)
    assert (settings.preset, settings.sigma, settings.time_budget) == ("fast", 25, 30)
    assert settings.fill_missing
    assert settings.fill_outliers
    with pytest.raises(OptionError, match="must be a number or auto"):
        settings_of(["--sigma=x"])


def test_the_command_line_is_safe_to_paste():
    assert command_line("a.png", []) == "denoise a.png"
    assert command_line("a b';rm.png", ["--sigma=3"]) == """denoise 'a b'"'"';rm.png' --sigma=3"""
    assert command_line("-o.png", []) == "denoise ./-o.png"
    assert command_line("/home/me/a.png", []) == "denoise a.png"
    assert command_line("serve", []) == "denoise ./serve"
