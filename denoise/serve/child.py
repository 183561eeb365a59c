"""The server's end of a process that works for one image."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

# The most bytes that an event may have.
LONGEST_LINE = 1 << 24


class Child:
    """A process that runs `worker`; see there."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @classmethod
    async def start(cls) -> Child:
        """Start a process; it loads what it needs meanwhile."""
        # -P: modules in the folder where the server was started do not replace ours.
        command = (sys.executable, "-P", "-m", "denoise.serve.worker")
        # Ctrl-C in a terminal is for the server, which ends its processes.
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE, start_new_session=True
            )
        )

    def send(self, **request: Any) -> None:
        """Ask for something; a process that has died is noticed by `events`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What the process says, until it ends."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            yield json.loads(line)

    async def kill(self) -> None:
        """End the process, whatever it is doing."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self._kill()
        await self.process.wait()

    def _kill(self) -> None:
        # Process.kill first looks whether the process has ended, and asyncio, which waits for that
        # in a thread, then complains that it does not know the process.
        if hasattr(signal, "SIGKILL"):
            os.kill(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
