"""Attacks on `denoise serve`: what other pages, other users and bad files get."""

from __future__ import annotations

import socket
import stat
import struct
import zlib

import pytest

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")

from conftest import noisy_file
from page_server import PageServer, until

from denoise.serve.command import _leading_to
from denoise.serve.safety import MOST_OF_A_FILE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def server(folder):
    running = PageServer(folder, [])
    yield running
    assert running.end() == ""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "noisy.png"
    noisy_file(path)
    return path.read_bytes()


@pytest.mark.parametrize("path", ["/offers", "/sessions/a/events", "/nothing", "/favicon.ico"])
@pytest.mark.parametrize("token", [None, "", "wrong", "\xe9"])
def test_nothing_is_said_without_the_token(server, path, token):
    answer = server.ask(path, headers={"X-Denoise-Token": token})
    assert answer.status == 403
    assert "token is missing or wrong" in answer.json["error"]


def test_the_token_is_long_and_only_a_header_counts(server):
    assert len(server.token) >= 43  # 256 bits
    headers = {"X-Denoise-Token": None, "Cookie": f"X-Denoise-Token={server.token}"}
    assert server.ask(f"/offers?token={server.token}", headers=headers).status == 403
    assert server.ask("/offers").status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.1:{port}", ""]
)
@pytest.mark.parametrize("path", ["/", "/offers"])
def test_a_foreign_name_of_this_machine_is_refused(server, host, path):
    answer = server.ask(path, headers={"Host": host.format(port=server.port)})
    assert answer.status in (400, 403)
    assert b"<html" not in answer.body


def test_usual_names_of_this_machine_are_taken(server):
    for name in ("127.0.0.1", "localhost", "[::1]"):
        host = f"{name}:{server.port}"
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert server.ask("/offers", headers=headers).status == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "file://"],
)
def test_another_page_may_not_ask(server, origin):
    headers = {"Origin": origin.format(port=server.port)}
    for method, path in (("GET", "/"), ("GET", "/offers"), ("POST", "/sessions")):
        answer = server.ask(path, method, b"x" if method == "POST" else None, headers)
        assert answer.status == 403
        assert answer.json["error"] == "another page may not ask"


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "DELETE"])
def test_no_other_method_is_known_and_no_other_origin_invited(server, method):
    for path in ("/", "/offers", "/sessions"):
        answer = server.ask(path, method)
        assert answer.status in (400, 405, 411)
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_every_answer_tells_the_browser_to_be_strict(server):
    answers = [server.ask("/"), server.ask("/offers"), server.ask("/nothing")]
    answers.append(server.ask("/offers", headers={"X-Denoise-Token": None}))
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_page_loads_nothing_from_elsewhere(server):
    page = server.ask("/", headers={"X-Denoise-Token": None})
    assert page.status == 200
    for path in ("/", "/page.js", "/page.css", "/server.js", "/viewer.js", "/viewer.css"):
        text = server.ask(path, headers={"X-Denoise-Token": None}).body.decode()
        assert "://" not in text
        assert server.token not in text
    assert b"<style" not in page.body
    assert b"style=" not in page.body
    assert page.body.count(b"<script") == page.body.count(b'<script type="module" src=') == 1


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/page.html",
        "/offers/0",
        "/offers/../offers",
        "/offers/-1",
        "/offers/%2fetc%2fpasswd",
        "/sessions/..%2f..%2fetc/events",
        "/sessions/%00/events",
    ],
)
def test_no_file_can_be_named(server, path):
    answer = server.ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.body


def test_views_are_those_of_the_image_and_no_other_file(server, image):
    with server.session(image) as session:
        for name in ("input", "result", "..%2finput", "%2fetc%2fpasswd", "uncertainty.npy", ""):
            assert server.ask(f"/sessions/{session}/views/{name}").status == 404


def test_a_name_of_a_file_cannot_leave_the_folder(server, folder, image):
    for name in ("../../evil.png", "%2Fetc%2Fevil.png", "a%00.png", ".png", "x.py", "-o.png"):
        session = server.upload(image, name)
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert [path.parent.parent for path in files] == [folder]
        assert files[0].name in ("input.png", "input")
        assert server.ask(f"/sessions/{session}", "DELETE").status == 204
    assert server.left_over() == []


def test_files_are_for_this_user_only(server, folder, image):
    with server.session(image):
        for path in folder.glob("denoise-serve-*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_the_address_is_not_on_the_command_line_of_the_browser(tmp_path):
    leading = _leading_to("http://127.0.0.1:1/#secret", tmp_path)
    assert "secret" not in leading.as_uri()
    assert 'url=http://127.0.0.1:1/#secret"' in leading.read_text()


def test_only_this_machine_can_connect(server):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        # Another loopback address stands for any other address of this machine.
        assert other.connect_ex(("127.0.0.2", server.port)) != 0


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
def test_what_is_no_request_is_refused(server, image, data):
    with server.session(image) as session:
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
def test_a_part_is_four_whole_numbers(server, image, part):
    with server.session(image) as session:
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


def test_bombs_and_broken_files_are_one_sentence_and_leave_nothing(server, image):
    for data, reason in (
        (_png_of_size(100_000, 100_000), "pixels"),
        (image[:200], "breaks off"),
        (b"#!/bin/sh\n", "not an image that can be read"),
        (b"", "is empty"),
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


def test_modules_of_the_folder_it_is_started_in_are_not_run(tmp_path, image):
    downloads, private = tmp_path / "downloads", tmp_path / "private"
    for folder in (downloads, private):
        folder.mkdir()
    for name in ("queue", "numpy", "torch", "denoise"):
        (downloads / f"{name}.py").write_text(f"open({str(tmp_path / 'hacked')!r}, 'w')")
    server = PageServer(private, [], cwd=downloads)
    with server.session(image) as session, server.listening(session) as events:
        server.ask(f"/sessions/{session}/open", "POST", {})
        assert until(events, "noise", "failed")["event"] == "noise"
    assert server.end() == ""
    assert not (tmp_path / "hacked").exists()


def test_half_of_a_character_is_refused(server):
    for body in (b'{"name": "\\ud800.png"}', b'{"name": "a.png", "choices": {"sigma": "\\ud800"}}'):
        answer = server.ask("/command", "POST", body)
        assert answer.status == 400
        assert "Content-Security-Policy" in answer.headers


def test_there_is_an_end_to_images(server, image):
    sessions = [server.upload(image) for _ in range(4)]
    answer = server.ask("/sessions?name=a.png", "POST", image)
    assert answer.status == 429
    assert "close another tab" in answer.json["error"]
    assert len(server.left_over()) == 4
    for session in sessions:
        server.ask(f"/sessions/{session}", "DELETE")
    assert server.left_over() == []
    assert len(set(sessions)) == 4
    assert min(len(session) for session in sessions) >= 22  # 128 bits


def test_a_closed_image_is_gone(server, image):
    session = server.upload(image)
    assert server.ask(f"/sessions/{session}", "DELETE").status == 204
    for path, method in (("", "DELETE"), ("/events", "GET"), ("/open", "POST"), ("/stop", "POST")):
        answer = server.ask(
            f"/sessions/{session}{path}", method, b"{}" if method == "POST" else None
        )
        assert answer.status == 404
        assert "open it again" in answer.json["error"]
