"""An image that the page has open: its folder, its process, and what has happened so far."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from denoise.errors import DenoiseError
from denoise.serve.child import Child
from denoise.serve.folders import make_folder, remove_folder

Event = dict[str, Any]
# The event with which the process says that it has done what was asked for.
ENDS = {"open": "noise", "denoise": "done", "view": "answer", "save": "answer"}
BUSY = "the image is being worked on; wait or stop first"
CLOSED = "the image has been closed; open it again"


class Busy(DenoiseError):
    """The image is being worked on."""


class Session:
    """An image file in a folder of its own, and a process for it.

    Parameters
    ----------
    suffix : of the file's name
    new_child : gives a process that nobody uses

    Attributes
    ----------
    id : a random text, which only the page that has opened the image knows
    file : where the image is to be written to
    listeners : how many requests send the file or wait for events
    """

    def __init__(self, suffix: str, new_child: Callable[[], Awaitable[Child]]) -> None:
        self.id = secrets.token_urlsafe(16)
        self.folder = make_folder()
        self.file = self.folder / f"input{suffix}"
        self.listeners = 0
        self._events: list[Event] = []
        self._changed = asyncio.Condition()
        self._new_child = new_child
        self._child: Child | None = None
        self._asking = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None
        self._is_working = self._is_closed = False
        self._is_open = self._has_result = False

    def begin(self, work: Coroutine[Any, Any, Event]) -> None:
        """Work on the image in the background; what comes of it is the last event.

        Raises
        ------
        Busy
            If there is work already.
        """
        if self._is_working or self._is_closed:
            work.close()
            raise Busy(CLOSED if self._is_closed else BUSY)

        async def finish() -> None:
            try:
                event = await work
            except DenoiseError as error:
                event = {"event": "failed", "error": str(error)}
            except Exception as error:  # a bug of ours, or no process can be started
                traceback.print_exc()
                event = {"event": "failed", "error": f"internal error: {error}"}
            self._is_working = False
            await self.tell(**event)

        self._is_working = True
        self._work = asyncio.create_task(finish())
        self._work.add_done_callback(lambda task: work.close())  # it may not have begun

    async def open(self, options: Sequence[str]) -> Event:
        """Let a process read the file and find its noise."""
        self._is_open = False
        if self._child is None:
            self._child = await self._new_child()
        folder, file = str(self.folder), str(self.file)
        noise = await self._ask("open", folder=folder, file=file, options=options)
        self._is_open = True
        return noise

    async def denoise(self, options: Sequence[str], part: Sequence[int] | None) -> Event:
        """Denoise the image, and the part of it that is on the screen before the rest."""
        self._has_result = False
        if not self._is_open:  # it was stopped, or could not be opened with other options
            await self.tell(**await self.open(options))
        await self.tell(event="started")
        self._is_open = False  # if it fails, what has been read may be another frame
        done = await self._ask("denoise", options=options, part=part)
        self._is_open = self._has_result = True
        return done

    async def view(self, name: str) -> bytes:
        """The file of a picture that the process has written, or writes now."""
        file = self.folder / f"{name}.png"
        if not file.exists():
            await self._ask_for_result("view", name=name)
        return file.read_bytes()

    async def save(self, strength: float) -> bytes:
        """The result, as the command would write it with this strength."""
        answer = await self._ask_for_result("save", strength=strength)
        return (self.folder / str(answer["file"])).read_bytes()

    async def stop(self) -> None:
        """End what is being done; the file stays."""
        await self._end_work()
        await self._end_child()
        await self.tell(event="stopped")

    async def close(self) -> None:
        """End what is being done, and remove the folder."""
        self._is_closed = True
        try:
            await self._end_work()
            await self._end_child()
        finally:
            remove_folder(self.folder)
            await self.tell(event="closed")

    async def tell(self, **event: Any) -> None:
        """Add an event."""
        async with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    async def events(self) -> AsyncIterator[Event]:
        """All events from the first one on, until the session is closed."""
        told = 0
        while True:
            async with self._changed:
                while told == len(self._events):
                    await self._changed.wait()
            event = self._events[told]
            told += 1
            yield event
            if event["event"] == "closed":
                return

    async def _ask_for_result(self, action: str, **request: Any) -> Event:
        if self._is_working:
            raise Busy(BUSY)
        if not self._has_result:
            raise DenoiseError("there is no result yet; denoise the image first")
        return await self._ask(action, **request)

    async def _ask(self, action: str, **request: Any) -> Event:
        """What the process says when it has done what it was asked for."""
        async with self._asking:
            child = self._child
            if child is None:  # it was ended while another request was answered
                raise DenoiseError(CLOSED)
            child.send(do=action, **request)
            async for event in child.events():
                if event["event"] == "failed":
                    raise DenoiseError(event["error"])
                if event["event"] == ENDS[action]:
                    return event
                await self.tell(**event)
        if self._child is not child:  # it was ended on purpose
            raise DenoiseError(CLOSED)
        await self._end_child()
        raise DenoiseError("the process for this image has ended; is there too little memory?")

    async def _end_work(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        self._is_working = False

    async def _end_child(self) -> None:
        self._is_open = self._has_result = False
        if self._child is not None:
            child, self._child = self._child, None
            await child.kill()
