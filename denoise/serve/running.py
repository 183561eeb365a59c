"""Running the server until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from denoise.serve.app import make_app


class _Server(uvicorn.Server):
    """A server that closes its images first, so that no page waits for more about them."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self.app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close images and connections; the signal is raised again afterwards."""
        await self.app.state.sessions.close_all()
        await super().shutdown(sockets)


def run_server(
    listener: socket.socket, token: str, offers: Sequence[Path], options: Sequence[str]
) -> None:
    """Serve the page; see `make_app`.

    Raises
    ------
    KeyboardInterrupt
        When it is interrupted; it ends in no other way.
    """
    port = listener.getsockname()[1]
    _Server(make_app(port, token, offers, options)).run(sockets=[listener])
