"""A running `denoise serve`, and requests to it as the page or somebody else would send them."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from conftest import PROCESS_ENVIRONMENT


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class PageServer:
    """A server in a process of its own; its private folders are in `folder`."""

    def __init__(self, folder: Path, arguments: Sequence[str], *, cwd: Path | None = None) -> None:
        self.folder = folder
        # As the command does, -P leaves out modules of the folder that it is started in.
        command = [sys.executable, "-P", "-m", "denoise", "serve", "--no-browser", *arguments]
        environment = {**PROCESS_ENVIRONMENT, "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        parts = urlsplit(self.url)
        assert parts.hostname is not None and parts.port is not None
        self.own = {path.name for path in folder.iterdir()}
        self.host, self.port, self.token = parts.hostname, parts.port, parts.fragment

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        headers: dict[str, str | None] | None = None,
    ) -> Answer:
        """One request with the token; a header that is None is left out, a dict is JSON."""
        all_headers = {"X-Denoise-Token": self.token, **(headers or {})}
        given = {name: value for name, value in all_headers.items() if value is not None}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            data = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, path, data, given)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    @contextmanager
    def session(self, data: bytes, name: str = "photo.png") -> Iterator[str]:
        """The id of a session for a file, which is closed in the end."""
        session = self.upload(data, name)
        try:
            yield session
        finally:
            self.ask(f"/sessions/{session}", "DELETE")

    def upload(self, data: bytes, name: str = "photo.png") -> str:
        """The id of a session for a file."""
        answer = self.ask(f"/sessions?name={name}", "POST", data)
        assert answer.status == 201, answer
        return str(answer.json["id"])

    @contextmanager
    def listening(self, session: str) -> Iterator[Iterator[dict[str, Any]]]:
        """The events of a session, as they come."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            headers = {"X-Denoise-Token": self.token}
            connection.request("GET", f"/sessions/{session}/events", headers=headers)
            response = connection.getresponse()
            yield (json.loads(line) for line in iter(response.readline, b""))
        finally:
            connection.close()

    def left_over(self) -> list[str]:
        """Folders of sessions that are there."""
        return sorted({path.name for path in self.folder.iterdir()} - self.own)

    def end(self, number: int = signal.SIGTERM) -> str:
        """End the server; returns what it said on standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return errors


def until(events: Iterator[dict[str, Any]], *names: str) -> dict[str, Any]:
    """The next event of one of these names."""
    for event in events:
        if event["event"] in names:
            return event
    raise AssertionError(f"none of {names} came")


def wait_for(condition: Any, seconds: float = 15.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def processes_of(parent: int) -> list[int]:
    """The numbers of the processes that a process has started and that run."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(parent)], capture_output=True, text=True
    )
    lines = [line.split() for line in found.stdout.splitlines()]
    return [int(number) for number, state in lines if not state.startswith("Z")]
