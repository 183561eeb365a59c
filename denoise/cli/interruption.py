"""How a command ends when it is interrupted: by Ctrl-C, or because somebody asks it to end."""

from __future__ import annotations

import signal
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def raise_on_sigterm() -> None:
    """Let SIGTERM end the process like Ctrl-C does: half-written files are removed."""
    signal.signal(signal.SIGTERM, _raise_terminated)


def terminate_on_hangup() -> None:
    """Let the end of the terminal end the process like SIGTERM does."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))


def exit_code(stop: KeyboardInterrupt) -> int:
    """What a shell expects of a command that was stopped."""
    return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated
