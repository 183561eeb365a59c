"""Work that is shared out to the cores of a CPU, in pieces.

torch splits every operation on a CPU over its threads and waits for the slowest of them. For
small matrices that gains little, and on a busy machine it costs a hundredfold; pieces of work that
run from start to end on one thread each do not wait for one another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_all_cores(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results of `work` on each item, in order; as many at a time as torch has threads.

    Results may be large, so at most twice as many items are begun before their turn.
    """
    with one_thread_per_operation() as threads, ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Result]] = deque()
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > 2 * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


class _Holders:
    """How many callers want torch's operations on one thread, and how many threads torch had.

    torch has one number of threads for the whole process.
    """

    lock = threading.Lock()
    count = 0
    threads = 1


@contextmanager
def one_thread_per_operation() -> Iterator[int]:
    """Let torch use one thread; yields the number that it had, and restores it at the end."""
    with _Holders.lock:
        if _Holders.count == 0:
            _Holders.threads = torch.get_num_threads()
            torch.set_num_threads(1)
        _Holders.count += 1
    try:
        yield _Holders.threads
    finally:
        with _Holders.lock:
            _Holders.count -= 1
            if _Holders.count == 0:
                torch.set_num_threads(_Holders.threads)
