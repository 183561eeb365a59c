"""Attacks on `denoise serve`: other pages, other users and other machines get nothing."""

from __future__ import annotations

import socket
import stat

import pytest

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")

from denoise.serve.command import _leading_to


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


def test_views_are_those_of_the_image_and_no_other_file(server, photo):
    with server.session(photo.read_bytes()) as session:
        for name in ("input", "result", "..%2finput", "%2fetc%2fpasswd", "uncertainty.npy", ""):
            assert server.ask(f"/sessions/{session}/views/{name}").status == 404


def test_a_name_of_a_file_cannot_leave_the_folder(server, photo):
    for name in ("../../evil.png", "%2Fetc%2Fevil.png", "a%00.png", ".png", "x.py", "-o.png"):
        session = server.upload(photo.read_bytes(), name)
        files = [path for path in server.folder.rglob("*") if path.is_file()]
        assert [path.parent.parent for path in files] == [server.folder]
        assert files[0].name in ("input.png", "input")
        assert server.ask(f"/sessions/{session}", "DELETE").status == 204
    assert server.left_over() == []


def test_files_are_for_this_user_only(server, photo):
    with server.session(photo.read_bytes()):
        for path in server.folder.glob("denoise-serve-*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_the_address_is_not_on_the_command_line_of_the_browser(tmp_path):
    leading = _leading_to("http://127.0.0.1:1/#secret", tmp_path)
    assert "secret" not in leading.as_uri()
    assert 'url=http://127.0.0.1:1/#secret"' in leading.read_text()


def test_only_this_machine_can_connect(server):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        # Another loopback address stands for any other address of this machine.
        assert other.connect_ex(("127.0.0.2", server.port)) != 0
