"""Who may talk to the server: only the page that it has sent, in a browser on this machine.

Any page on the web can make a browser send requests to this machine. It cannot know the token,
which is in the fragment of the page's address and so in no request but its header; a foreign name
for this machine (DNS rebinding) shows in the header Host; and a foreign page in the header Origin.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "X-Denoise-Token"
# The most bytes of an image file, and of anything else that is sent.
MOST_OF_A_FILE, MOST_OF_A_REQUEST = 1 << 30, 1 << 16
ANSWER_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Gate:
    """Refuses what does not come from our page, and tells browsers to be strict with it.

    Parameters
    ----------
    port : of the server
    token : that the page sends with each request
    public : paths that need no token: those of the page itself
    uploads : paths to which an image file may be sent
    """

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        token: str,
        public: Collection[str],
        uploads: Collection[str],
    ) -> None:
        self.app, self.token, self.public, self.uploads = app, token, public, uploads
        self.hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(ANSWER_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send_strictly)
        else:
            status, error = refusal
            response = JSONResponse({"error": error}, status, headers={"Connection": "close"})
            await response(scope, receive, send_strictly)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason, if a request is refused."""
        if scope["type"] != "http":
            return 403, "only HTTP is spoken here"
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self.hosts:
            return 403, "the server has no such name"
        if origin not in (None, f"http://{host}"):
            return 403, "another page may not ask"
        path = scope["path"]
        sent = headers.get(TOKEN_HEADER, "")
        if path not in self.public and not secrets.compare_digest(
            sent.encode(), self.token.encode()
        ):
            return 403, "the token is missing or wrong; open the address that the server printed"
        return self._refusal_of_size(headers, path in self.uploads, scope["method"])

    def _refusal_of_size(
        self, headers: Headers, is_upload: bool, method: str
    ) -> tuple[int, str] | None:
        """Why a body is refused before any of it is read: its length is unknown, or too large."""
        if method in ("GET", "HEAD", "DELETE") and "transfer-encoding" not in headers:
            return None
        length = headers.get("content-length", "")
        if not length.isdecimal() or "transfer-encoding" in headers:
            return 411, "the length of what is sent must be given"
        most = MOST_OF_A_FILE if is_upload else MOST_OF_A_REQUEST
        if int(length) > most:
            return 413, f"{length} bytes are too many; at most {most} are taken"
        return None
