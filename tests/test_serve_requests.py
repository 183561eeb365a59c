"""Attacks on `denoise serve`: bad requests, bad files and too many of them are refused."""

from __future__ import annotations

import socket
import struct
import time
import zlib

import pytest

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")

from page_server import PageServer, until

from denoise.serve.safety import MOST_OF_A_FILE


def _send(server: PageServer, text: str) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        return connection.recv(4096)


def test_what_is_sent_needs_a_length_that_is_not_too_large(server):
    head = f"POST /sessions?name=a.png HTTP/1.1\nHost: 127.0.0.1:{server.port}\n"
    head += f"X-Denoise-Token: {server.token}\n"
    assert b" 411 " in _send(server, head + "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n")
    assert b" 411 " in _send(server, head + "\n")
    assert b" 413 " in _send(server, head + f"Content-Length: {MOST_OF_A_FILE + 1}\n\n")
    assert b" 413 " in _send(
        server, head.replace("/sessions?name=a.png", "/command") + "Content-Length: 65537\n\n"
    )
    assert b" 400 " in _send(server, head + "Content-Length: -5\n\n")
    assert server.left_over() == []


def test_a_file_that_breaks_off_leaves_nothing(server):
    head = f"POST /sessions?name=a.png HTTP/1.1\nHost: 127.0.0.1:{server.port}\n"
    head += f"X-Denoise-Token: {server.token}\nContent-Length: 1000\n\nabc"
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
    with server.session(b"x"):  # the server goes on
        until = time.monotonic() + 10  # the folder of the broken one goes meanwhile
        while len(server.left_over()) > 1 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(server.left_over()) == 1
    assert server.left_over() == []


def test_a_websocket_is_refused(server):
    answer = server.ask(
        "/offers",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "X-Denoise-Token": None,
        },
    )
    assert answer.status in (400, 403)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"choices": [1]}', b"[" * 60000])
def test_what_is_no_request_is_refused(server, photo, data):
    with server.session(photo.read_bytes()) as session:
        for path in ("/command", f"/sessions/{session}/open", f"/sessions/{session}/denoise"):
            assert server.ask(path, "POST", data or b"").status == 400


@pytest.mark.parametrize(
    "choices",
    [
        {"output": "/tmp/x.png"},
        {"save_model": "/tmp/x.npz"},
        {"load_model": "/etc/passwd"},
        {"mask": "/etc/passwd"},
        {"noise": "/etc/passwd.json"},
        {"preset": "fast --save-model=x.npz"},
        {"preset": ["fast"]},
        {"sigma": "--output=/tmp/x.png"},
        {"sigma": {"a": 1}},
        {"fill_missing": "--output=x"},
        {"device": "cuda"},
        {"strength": 2},
        {"frame": -1},
        {"time_budget": "1y"},
        {"sigma": "5", "noise": "poisson-gaussian"},
        {"--output": "x"},
    ],
)
def test_no_other_option_can_be_chosen(server, choices):
    answer = server.ask("/command", "POST", {"name": "a.png", "choices": choices})
    assert answer.status == 400
    assert answer.json["error"]


@pytest.mark.parametrize("part", [[1, 2, 3], ["a", 0, 1, 1], 5, "abcd", [1.5, 0, 1, 1], {}])
def test_a_part_is_four_whole_numbers(server, photo, part):
    with server.session(photo.read_bytes()) as session:
        answer = server.ask(f"/sessions/{session}/denoise", "POST", {"part": part})
        assert answer.status == 400


def _png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + end

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_bombs_and_broken_files_are_one_sentence_and_leave_nothing(server, photo):
    for data, reason in (
        (_png_of_size(100_000, 100_000), "pixels"),
        (photo.read_bytes()[:200], "breaks off"),
        (b"#!/bin/sh\n", "not an image that can be read"),
    ):
        with server.session(data) as session, server.listening(session) as events:
            assert server.ask(f"/sessions/{session}/open", "POST", {}).status == 202
            event = until(events, "failed", "noise")
            assert event["event"] == "failed"
            assert reason in event["error"]
            assert str(server.folder) not in event["error"]
            server.ask(f"/sessions/{session}", "DELETE")
            until(events, "closed")
        assert server.left_over() == []


def test_modules_of_the_folder_it_is_started_in_are_not_run(tmp_path, photo):
    downloads, private = tmp_path / "downloads", tmp_path / "private"
    for folder in (downloads, private):
        folder.mkdir()
    for name in ("queue", "numpy", "torch", "denoise"):
        (downloads / f"{name}.py").write_text(f"open({str(tmp_path / 'hacked')!r}, 'w')")
    server = PageServer(private, [], cwd=downloads)
    with server.session(photo.read_bytes()) as session, server.listening(session) as events:
        server.ask(f"/sessions/{session}/open", "POST", {})
        assert until(events, "noise", "failed")["event"] == "noise"
    assert server.end() == ""
    assert not (tmp_path / "hacked").exists()


def test_half_of_a_character_is_refused(server):
    for body in (b'{"name": "\\ud800.png"}', b'{"name": "a.png", "choices": {"sigma": "\\ud800"}}'):
        answer = server.ask("/command", "POST", body)
        assert answer.status == 400
        assert "Content-Security-Policy" in answer.headers


def test_there_is_an_end_to_images(server, photo):
    sessions = [server.upload(photo.read_bytes()) for _ in range(4)]
    answer = server.ask("/sessions?name=a.png", "POST", photo.read_bytes())
    assert answer.status == 429
    assert "close another tab" in answer.json["error"]
    assert len(server.left_over()) == 4
    for session in sessions:
        server.ask(f"/sessions/{session}", "DELETE")
    assert server.left_over() == []
    assert len(set(sessions)) == 4
    assert min(len(session) for session in sessions) >= 22  # 128 bits


def test_a_closed_image_is_gone(server, photo):
    session = server.upload(photo.read_bytes())
    assert server.ask(f"/sessions/{session}", "DELETE").status == 204
    for path, method in (("", "DELETE"), ("/events", "GET"), ("/open", "POST"), ("/stop", "POST")):
        answer = server.ask(
            f"/sessions/{session}{path}", method, b"{}" if method == "POST" else None
        )
        assert answer.status == 404
        assert "open it again" in answer.json["error"]
