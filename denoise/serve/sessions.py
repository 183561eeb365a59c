"""All images that pages have open: how many there may be, and whose turn it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from denoise.errors import DenoiseError
from denoise.serve.child import Child
from denoise.serve.session import Event, Session

# The most images that are open; each has a process, which holds it in memory.
MOST_SESSIONS = 4
# Seconds after which the image of a page that no longer listens is closed.
GRACE = 10.0


class TooMany(DenoiseError):
    """There are as many images open as there may be."""


class Sessions:
    """Opens and closes sessions; one of them denoises at a time."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._left_since: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._spare: Child | None = None
        self._preparing = asyncio.Lock()
        self._is_ending = False
        self._watch = asyncio.create_task(self._close_abandoned())

    def new(self, suffix: str) -> Session:
        """A session for a file that is to be written to `Session.file`.

        Raises
        ------
        TooMany
            If others have to be closed first.
        """
        if self._is_ending:
            raise TooMany("the server is ending")
        if len(self._open) >= MOST_SESSIONS:
            raise TooMany(f"{MOST_SESSIONS} images are open already; close another tab first")
        session = Session(suffix, self._new_child)
        self._open[session.id] = session
        return session

    def find(self, id_: str) -> Session:
        """The open session of this id.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._open[id_]

    async def close(self, session: Session) -> None:
        """Close a session, whatever it is doing."""
        self._open.pop(session.id, None)
        self._left_since.pop(session.id, None)
        await session.close()

    async def close_all(self) -> None:
        """Leave no process and no folder behind."""
        self._is_ending = True
        self._watch.cancel()
        for session in list(self._open.values()):
            await self.close(session)
        if self._spare is not None:
            await self._spare.kill()

    async def denoise(
        self, session: Session, options: Sequence[str], part: Sequence[int] | None
    ) -> Event:
        """Denoise the image of a session when it is its turn."""
        if self._turn.locked():
            await session.tell(event="waiting")
        try:
            async with self._turn:
                done = await session.denoise(options, part)
        finally:
            await self.prepare()
        return done

    async def prepare(self) -> None:
        """Have a process ready: to load torch takes seconds."""
        async with self._preparing:
            if self._spare is None and not self._is_ending:
                with suppress(OSError):  # said when it is needed
                    self._spare = await Child.start()

    async def _new_child(self) -> Child:
        spare, self._spare = self._spare, None
        if spare is not None and spare.process.returncode is None:
            return spare
        return await Child.start()

    async def _close_abandoned(self) -> None:
        """Close sessions whose page is gone without a word."""
        while True:
            await asyncio.sleep(GRACE / 10)
            now = time.monotonic()
            for session in list(self._open.values()):
                if session.listeners:
                    self._left_since.pop(session.id, None)
                elif now - self._left_since.setdefault(session.id, now) > GRACE:
                    await self.close(session)
