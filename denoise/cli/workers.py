"""Worker processes that do one task at a time: one that dies costs only the task at hand."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    processes: int,
    *,
    clean_up: Callable[[Task, int], None],
) -> Generator[Result | None, None, None]:
    """The results of `work` in the order of the tasks; None where the process died.

    All processes end when this generator is closed or the parent dies. They share the cores.

    Parameters
    ----------
    work : like tasks and results, it must be fit for pickling
    clean_up : called with the last task and the id of each process that has ended
    """
    waiting = iter(enumerate(tasks))
    results: dict[int, Result | None] = {}
    workers: list[_Worker[Task, Result]] = []
    try:
        for number in range(len(tasks)):
            while number not in results:
                while len(workers) < processes and (task := next(waiting, None)) is not None:
                    workers.append(_Worker(work, processes))
                    workers[-1].begin(*task)
                ready = wait([worker.connection for worker in workers])
                for worker in [one for one in workers if one.connection in ready]:
                    result = results[worker.number] = worker.result()
                    if result is not None and (task := next(waiting, None)) is not None:
                        worker.begin(*task)
                    else:
                        workers.remove(worker)
                        worker.end(clean_up)
            yield results.pop(number)
    finally:
        for worker in workers:
            worker.end(clean_up)


class _Worker(Generic[Task, Result]):
    """A process, our end of the connection to it, its task and the task's number."""

    number: int
    task: Task

    def __init__(self, work: Callable[[Task], Result], processes: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of one that runs threads can hang
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, processes), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is ours to handle
        try:
            self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
            theirs.close()  # now the connection ends when the process does

    def begin(self, number: int, task: Task) -> None:
        self.number, self.task = number, task
        with suppress(OSError):  # it has died already, as `result` will find
            self.connection.send(task)

    def result(self) -> Result | None:
        """What the process made of its task, or None if it died."""
        with suppress(EOFError, OSError):
            result: Result = self.connection.recv()
            return result
        return None

    def end(self, clean_up: Callable[[Task, int], None]) -> None:
        """End the process, whatever it is doing."""
        self.process.terminate()
        self.process.join()
        self.connection.close()
        clean_up(self.task, self.process.pid or 0)


def _serve(connection: Connection, work: Callable[[Any], object], processes: int) -> None:
    """Do the tasks that are sent, in a process of its own."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    with suppress(EOFError, OSError):
        while True:
            connection.send(work(connection.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
