"""Worker processes that do one task at a time: one that dies costs only the task at hand."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from denoise.cli.loading import start_worker
from denoise.files.outputs import process_name

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost:
    """Instead of a result: whoever was at the task died."""

    reason: str


def in_processes(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    processes: int,
    clean_up: Callable[[Task, str], None],
) -> Generator[Result | Lost, None, None]:
    """The results of `work` in the order of the tasks, by processes that share the cores.

    All processes end when this generator is closed or the parent dies.

    Parameters
    ----------
    work : like tasks and results, it must be fit for pickling
    clean_up : called with the last task and the name of each process that has ended
    """
    waiting = iter(enumerate(tasks))
    results: dict[int, Result | Lost] = {}
    lost = Lost(f"its process was killed; is there too little memory for {processes} --jobs?")
    workers: list[_Worker[Task, Result]] = []
    try:
        for number in range(len(tasks)):
            while number not in results:
                while len(workers) < processes and (task := next(waiting, None)) is not None:
                    workers.append(_Worker(work, processes))
                    workers[-1].begin(*task)
                ready = wait([worker.connection for worker in workers])
                for worker in [one for one in workers if one.connection in ready]:
                    result = worker.result()
                    results[worker.number] = lost if result is None else result
                    if result is not None and (task := next(waiting, None)) is not None:
                        worker.begin(*task)
                    else:
                        workers.remove(worker)
                        worker.end(clean_up)
            yield results.pop(number)
    finally:
        for worker in workers:
            worker.end(clean_up)


@contextmanager
def ctrl_c_ignored() -> Iterator[None]:
    """Processes that are started in here ignore Ctrl-C, which is ours to handle."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Worker(Generic[Task, Result]):
    """A process, our end of the connection to it, its task and the task's number."""

    number: int
    task: Task

    def __init__(self, work: Callable[[Task], Result], processes: int) -> None:
        context = start_context()
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, processes), daemon=True)
        try:
            with ctrl_c_ignored():
                self.process.start()
        finally:
            theirs.close()  # now the connection ends when the process does
        with suppress(OSError):  # it has died already, as `result` will find
            self.connection.send(work)

    def begin(self, number: int, task: Task) -> None:
        self.number, self.task = number, task
        with suppress(OSError):
            self.connection.send(task)

    def result(self) -> Result | None:
        """What the process made of its task, or None if it died."""
        with suppress(EOFError, OSError):
            result: Result = self.connection.recv()
            return result
        return None

    def end(self, clean_up: Callable[[Task, str], None]) -> None:
        """End the process, whatever it is doing."""
        self.process.terminate()
        self.process.join()
        self.connection.close()
        clean_up(self.task, process_name(self.process.pid))


def start_context() -> Any:
    """How processes are started: on Linux as copies of one that has loaded torch, without threads.

    A copy of this process, which runs threads, could hang, and so could any copy on other systems.
    """
    if sys.platform == "linux":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["denoise.cli.preloaded"])
        with suppress(OSError), ctrl_c_ignored():  # it needs a folder for a socket
            forkserver.ensure_running()
            return context
    return multiprocessing.get_context("spawn")


def _serve(connection: Connection, processes: int) -> None:
    """Do the tasks that are sent, in a process of its own."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _own_semaphores_without_names()
    start_worker(processes)
    with suppress(EOFError, OSError):
        work: Callable[[Any], object] = connection.recv()
        while True:
            connection.send(work(connection.recv()))


def _own_semaphores_without_names() -> None:
    """Let what libraries lock with need no cleaning up when this process is ended.

    numcodecs makes a lock when it is loaded. One that a spawned process can find by a name is
    reported as leaked when its owner is killed; one that only forked processes share has no name.
    """
    if "fork" in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("fork", force=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
