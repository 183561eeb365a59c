"""Running the server until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from denoise.serve.app import PAGE, make_app
from denoise.serve.safety import Gate


class _Server(uvicorn.Server):
    """A server that closes its images first, so that no page waits for more about them."""

    def __init__(self, app: Starlette, gate: Gate) -> None:
        super().__init__(
            uvicorn.Config(
                gate,
                loop="asyncio",
                http="h11",
                ws="none",
                proxy_headers=False,
                server_header=False,
                log_level="critical",
                timeout_graceful_shutdown=1,
            )
        )
        self.app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close images and connections; the signal is raised again afterwards."""
        await self.app.state.sessions.close_all()
        await super().shutdown(sockets)


def run_server(
    listener: socket.socket, token: str, offers: Sequence[Path], options: Sequence[str]
) -> None:
    """Serve the page; see `Gate` and `make_app`.

    Raises
    ------
    KeyboardInterrupt
        When it is interrupted; it ends in no other way.
    """
    app = make_app(offers, options)
    gate = Gate(app, listener.getsockname()[1], token, public=PAGE, uploads=["/sessions"])
    _Server(app, gate).run(sockets=[listener])
