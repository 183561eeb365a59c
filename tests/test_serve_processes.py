"""The processes behind the page: whatever ends, no process and no file of an image is left."""

from __future__ import annotations

import asyncio
import io
import os
import signal

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")

from page_server import PageServer, processes_of, until, wait_for
from test_serve import CHOICES

from denoise.errors import DenoiseError
from denoise.serve import sessions as sessions_module
from denoise.serve.child import Child
from denoise.serve.folders import make_folder, remove_abandoned
from denoise.serve.sessions import GRACE, Sessions


def test_stop_ends_the_process_and_the_image_stays_open(server, tmp_path):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
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


def test_a_process_that_dies_is_said_and_replaced(server, photo):
    with server.session(photo.read_bytes()) as session, server.listening(session) as events:
        before = set(processes_of(server.process.pid))
        server.ask(f"/sessions/{session}/open", "POST", {"choices": CHOICES})
        until(events, "noise")
        for number in before:  # one of them is the process of this image
            os.kill(number, signal.SIGKILL)
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": CHOICES})
        assert "too little memory" in until(events, "failed")["error"]
        server.ask(f"/sessions/{session}/denoise", "POST", {"choices": CHOICES})
        assert until(events, "done", "failed")["event"] == "done"


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
def test_the_end_of_the_server_leaves_no_process_and_no_image(photo, tmp_path, number):
    server = PageServer(tmp_path, [])
    session = server.upload(photo.read_bytes())
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


def test_a_connection_that_breaks_off_closes_the_image(server, photo):
    session = server.upload(photo.read_bytes())
    with server.listening(session) as events:
        server.ask(f"/sessions/{session}/open", "POST", {"choices": CHOICES})
        until(events, "noise")
        folders = server.left_over()
    wait_for(lambda: len(set(folders) - set(server.left_over())) == 1, 1.5 * GRACE)
    assert server.ask(f"/sessions/{session}/stop", "POST", b"").status == 404


def test_the_image_of_a_page_that_is_gone_is_closed(photo, monkeypatch):
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
