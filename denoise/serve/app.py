"""The server: what the page can ask for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from denoise.errors import DenoiseError
from denoise.files.formats import INPUT_SUFFIXES
from denoise.files.images import result_suffix
from denoise.serve.choices import command_line, options_of, settings_of
from denoise.serve.safety import MOST_OF_A_FILE
from denoise.serve.session import Busy, Session
from denoise.serve.sessions import Sessions, TooMany

# Where each file of the page is, and its type.
SCRIPT, STYLE = "text/javascript", "text/css"
PAGE = {
    "/": ("denoise.serve", "static/page.html", "text/html"),
    "/icon.svg": ("denoise.serve", "static/icon.svg", "image/svg+xml"),
    "/page.css": ("denoise.serve", "static/page.css", STYLE),
    "/page.js": ("denoise.serve", "static/page.js", SCRIPT),
    "/server.js": ("denoise.serve", "static/server.js", SCRIPT),
    "/viewer.js": ("denoise.pictures.viewer", "viewer.js", SCRIPT),
    "/viewer.css": ("denoise.pictures.viewer", "viewer.css", STYLE),
}
VIEWS = ("before", "preview", "after", "residual", "uncertainty", "model")
STATUS: dict[type[DenoiseError], int] = {Busy: 409, TooMany: 429}


def make_app(offers: Sequence[Path], options: Sequence[str]) -> Starlette:
    """The server of a page, for those who have passed its `Gate`.

    Parameters
    ----------
    offers : images that the page may open without being given them
    options : of the command, which hold for all images
    """
    return Starlette(
        routes=[
            *(Route(path, _page) for path in PAGE),
            Route("/offers", _offers),
            Route("/offers/{number:int}", _offer),
            Route("/command", _command, methods=["POST"]),
            Route("/sessions", _upload, methods=["POST"]),
            Route("/sessions/{id}", _close, methods=["DELETE"]),
            Route("/sessions/{id}/events", _events),
            Route("/sessions/{id}/open", _open, methods=["POST"]),
            Route("/sessions/{id}/denoise", _denoise, methods=["POST"]),
            Route("/sessions/{id}/stop", _stop, methods=["POST"]),
            Route("/sessions/{id}/views/{name}", _view),
            Route("/sessions/{id}/result", _result),
        ],
        exception_handlers={
            DenoiseError: _refused,
            HTTPException: lambda request, error: _error(error.detail, error.status_code),
            ClientDisconnect: lambda request, error: _error("the page is gone", 400),
            OSError: lambda request, error: _error(f"cannot be done: {error}", 507),
        },
        lifespan=_sessions(offers, options),
    )


def _sessions(offers: Sequence[Path], options: Sequence[str]) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.offers, app.state.options = offers, options
        app.state.sessions = Sessions()
        await app.state.sessions.prepare()
        yield

    return lifespan


def _error(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status)


def _refused(request: Request, error: Exception) -> Response:
    return _error(str(error), STATUS.get(type(error), 400))  # type: ignore[arg-type]


async def _page(request: Request) -> Response:
    package, name, kind = PAGE[request.url.path]
    return Response(files(package).joinpath(name).read_bytes(), media_type=kind)


async def _offers(request: Request) -> Response:
    """Images that were named on the command line, and what files may be sent."""
    names = [path.name for path in request.app.state.offers]
    return JSONResponse({"names": names, "most_bytes": MOST_OF_A_FILE})


async def _offer(request: Request) -> Response:
    offers, number = request.app.state.offers, request.path_params["number"]
    if number >= len(offers) or not offers[number].is_file():
        raise HTTPException(404, "there is no such image")
    return FileResponse(offers[number])


async def _command(request: Request) -> Response:
    """What to type for the same file."""
    asked = await _json(request)
    name, options = asked.get("name"), _options(request, asked)
    if not isinstance(name, str) or not PurePath(name).name:
        raise DenoiseError("the name of an image is missing")
    settings_of(options)
    return JSONResponse({"command": command_line(name, options)})


async def _upload(request: Request) -> Response:
    suffix = PurePath(request.query_params.get("name", "")).suffix
    sessions: Sessions = request.app.state.sessions
    session = sessions.new(suffix if suffix.lower() in INPUT_SUFFIXES else "")
    session.listeners += 1
    try:
        with session.file.open("xb") as file:
            async for part in request.stream():
                file.write(part)
    except BaseException:  # the page is gone, or the disk is full
        await sessions.close(session)
        raise
    finally:
        session.listeners -= 1
    return JSONResponse({"id": session.id, "suffix": result_suffix(session.file)}, 201)


async def _close(request: Request) -> Response:
    await request.app.state.sessions.close(_session(request))
    return Response(status_code=204)


async def _events(request: Request) -> Response:
    """Lines of JSON, as long as the session is open and the page listens."""
    session = _session(request)

    async def lines() -> AsyncIterator[str]:
        session.listeners += 1
        try:
            async for event in session.events():
                yield json.dumps(event) + "\n"
        finally:
            session.listeners -= 1

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _open(request: Request) -> Response:
    options = _options(request, await _json(request))
    settings_of(options)
    session = _session(request)
    session.begin(session.open(options))
    return Response(status_code=202)


async def _denoise(request: Request) -> Response:
    asked = await _json(request)
    options, part = _options(request, asked), _part(asked.get("part"))
    settings_of(options)
    session = _session(request)
    session.begin(request.app.state.sessions.denoise(session, options, part))
    return Response(status_code=202)


async def _stop(request: Request) -> Response:
    await _session(request).stop()
    return Response(status_code=204)


async def _view(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in VIEWS:
        raise HTTPException(404, "there is no such view")
    return Response(await _session(request).view(name), media_type="image/png")


async def _result(request: Request) -> Response:
    """The file as the command would write it; its name is the page's business."""
    options = options_of({"strength": request.query_params.get("strength", "1")})
    strength = settings_of(options).strength
    data = await _session(request).save(strength)
    return Response(data, media_type="application/octet-stream")


def _session(request: Request) -> Session:
    try:
        found: Session = request.app.state.sessions.find(request.path_params["id"])
    except KeyError:
        raise HTTPException(404, "this image is no longer open; open it again") from None
    return found


async def _json(request: Request) -> dict[str, Any]:
    try:
        asked = await request.json()
        json.dumps(asked, ensure_ascii=False).encode()  # no half of a character
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise DenoiseError("what was sent is not a JSON object")
    return asked


def _options(request: Request, asked: dict[str, Any]) -> list[str]:
    choices = asked.get("choices", {})
    if not isinstance(choices, dict):
        raise DenoiseError("choices are a JSON object")
    return [*request.app.state.options, *options_of(choices)]


def _part(value: Any) -> list[int] | None:
    """Left, top, width and height in pixels."""
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 4 and all(type(one) is int for one in value):
        return value
    raise DenoiseError("a part is a list of left, top, width and height in whole pixels")
