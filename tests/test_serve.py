"""`denoise serve`: what the page gets is what the command writes."""

from __future__ import annotations

import io
import shlex

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")

from page_server import PageServer, until

from denoise.cli.main import app
from denoise.files.images import read_image

CHOICES = {"preset": "fast", "sigma": "20", "seed": "3"}


@pytest.fixture(scope="module")
def server(tmp_path_factory, photo):
    running = PageServer(tmp_path_factory.mktemp("private"), ["--device=cpu", str(photo)])
    yield running
    assert running.end() == ""


@pytest.fixture(scope="module")
def command_bytes(photo, tmp_path_factory):
    """What the command writes with some strength."""

    def run(strength: float) -> bytes:
        output = tmp_path_factory.mktemp("command") / "out.png"
        options = [f"--{name}={value}" for name, value in CHOICES.items()]
        arguments = [str(photo), "-o", str(output), f"--strength={strength}", *options]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        return output.read_bytes()

    return run


@pytest.fixture(scope="module")
def done(server, photo):
    """A session whose image has been denoised, and its events."""
    session = server.upload(photo.read_bytes(), "noisy%20photo.png")
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


def test_views_are_pictures_of_the_result(server, done, photo, command_bytes):
    session, _ = done

    def view(name):
        answer = server.ask(f"/sessions/{session}/views/{name}")
        assert answer.headers["Content-Type"] == "image/png"
        return read_image(answer.body).pixels

    assert np.array_equal(view("before"), read_image(photo).pixels)
    after = read_image(command_bytes(1)).pixels
    assert np.array_equal(view("after"), after)
    removed = read_image(photo).pixels - after
    shown = view("residual") - 128
    assert np.array_equal(np.sign(shown[abs(removed) > 1]), np.sign(removed[abs(removed) > 1]))
    assert view("uncertainty").shape == (24, 24)
    assert view("uncertainty").max() == 255
    assert view("model").shape[2] == 3


def test_the_command_that_is_shown_can_be_run(server, photo, tmp_path, command_bytes, monkeypatch):
    choices = {**CHOICES, "strength": 0.5}
    answer = server.ask("/command", "POST", {"name": photo.name, "choices": choices})
    words = shlex.split(answer.json["command"])
    assert words[:2] == ["denoise", "noisy photo.png"]
    (tmp_path / photo.name).write_bytes(photo.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert (tmp_path / "noisy photo_denoised.png").read_bytes() == command_bytes(0.5)


def test_images_of_the_command_line_are_offered(server, photo):
    assert server.ask("/offers").json["names"] == ["noisy photo.png"]
    assert server.ask("/offers/0").body == photo.read_bytes()


def test_other_choices_are_seen_anew(server, done, photo):
    with server.session(photo.read_bytes()) as session, server.listening(session) as events:
        server.ask(f"/sessions/{session}/open", "POST", {"choices": {"sigma": "0"}})
        assert until(events, "noise", "failed")["noise"] is None
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": {"sigma": "0"}})
        assert until(events, "done")["views"] == ["after", "residual"]
        for name in ("model", "uncertainty"):
            assert server.ask(f"/sessions/{session}/views/{name}").status == 400
        assert server.ask(f"/sessions/{session}/result").body == photo.read_bytes()
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


def test_bytes_are_the_same_after_a_preview_and_after_another_run(server, photo, tmp_path):
    output = tmp_path / "out.png"
    arguments = [str(photo), "-o", str(output), "--preset=balanced", "--sigma=20", "--seed=3"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    choices, part = {**CHOICES, "preset": "balanced"}, [0, 0, 16, 16]
    with server.session(photo.read_bytes()) as session, server.listening(session) as events:
        for body in ({"choices": CHOICES}, {"choices": choices, "part": part}):
            server.ask(f"/sessions/{session}/denoise", "POST", body)
            assert until(events, "done", "failed")["event"] == "done"
        told = server.ask(f"/sessions/{session}/views/preview")
        assert read_image(told.body).pixels.shape == (24, 24)
        assert server.ask(f"/sessions/{session}/result").body == output.read_bytes()


def test_a_view_that_there_is_not_is_an_error(server, done):
    session, _ = done
    answer = server.ask(f"/sessions/{session}/views/preview")
    assert (answer.status, "no view" in answer.json["error"]) == (400, True)
