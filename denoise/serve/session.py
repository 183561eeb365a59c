"""An image that the page has open: its folder, its process, and what has happened so far."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from denoise.errors import DenoiseError
from denoise.serve.child import Child
from denoise.serve.folders import make_folder, remove_folder

Event = dict[str, Any]
# The events with which the process says that it has done what was asked for.
ENDS = ("noise", "done", "answer", "failed")
# Of these the page learns through what it asked for.
PRIVATE = ("answer", "failed")


class Busy(DenoiseError):
    """The image is being worked on."""


class Session:
    """An image file in a folder of its own, and a process for it.

    Parameters
    ----------
    suffix : of the file's name
    new_child : gives a process that nobody uses
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
        self._has_result = False

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Work on the image in the background; how it fails is an event.

        Raises
        ------
        Busy
            If there is work already.
        """
        if self._is_working():
            work.close()
            raise Busy("the image is being worked on; wait or stop first")

        async def tell_failure() -> None:
            try:
                await work
            except DenoiseError as error:
                await self.tell(event="failed", error=str(error))

        self._work = asyncio.create_task(tell_failure())

    async def open(self, options: Sequence[str]) -> None:
        """Let a process read the file and find its noise."""
        await self._end_child()
        self._child = await self._new_child()
        request = {"folder": str(self.folder), "file": str(self.file), "options": options}
        try:
            await self._ask(do="open", **request)
        except DenoiseError:
            await self._end_child()  # it has no image, see `denoise`
            raise

    async def denoise(self, options: Sequence[str], part: Sequence[int] | None) -> None:
        """Denoise the image, and the part of it that is on the screen before the rest."""
        self._has_result = False
        if self._child is None:  # it was stopped, or could not be opened
            await self.open(options)
        await self.tell(event="started")
        await self._ask(do="denoise", options=options, part=part)
        self._has_result = True

    async def view(self, name: str) -> Path:
        """The file of a picture that the process has written, or writes now."""
        file = self.folder / f"{name}.png"
        if not file.exists():
            await self._ask_for_result(do="view", name=name)
        return file

    async def save(self, strength: float) -> Path:
        """The result, as the command would write it with this strength."""
        return self.folder / str((await self._ask_for_result(do="save", strength=strength))["file"])

    async def stop(self) -> None:
        """End what is being done; the file stays."""
        await self._end_work()
        await self._end_child()
        await self.tell(event="stopped")

    async def close(self) -> None:
        """End what is being done, and remove the folder."""
        await self._end_work()
        await self._end_child()
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

    def _is_working(self) -> bool:
        return self._work is not None and not self._work.done()

    async def _ask_for_result(self, **request: Any) -> Event:
        if self._is_working():
            raise Busy("the image is being worked on; wait or stop first")
        if not self._has_result:
            raise DenoiseError("there is no result yet; denoise the image first")
        return await self._ask(**request)

    async def _ask(self, **request: Any) -> Event:
        """What the process says when it has done what it was asked for."""
        async with self._asking:
            assert self._child is not None
            self._child.send(**request)
            async for event in self._child.events():
                if event["event"] not in PRIVATE:
                    await self.tell(**event)
                if event["event"] == "failed":
                    raise DenoiseError(event["error"])
                if event["event"] in ENDS:
                    return event
        await self._end_child()
        raise DenoiseError("the process for this image has ended; is there too little memory?")

    async def _end_work(self) -> None:
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work

    async def _end_child(self) -> None:
        self._has_result = False
        if self._child is not None:
            child, self._child = self._child, None
            await child.kill()
