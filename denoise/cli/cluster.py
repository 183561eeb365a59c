"""Workers of a Dask cluster, on this machine or on others, instead of processes of our own.

Dask gives the task of a worker that died to another one, and gives it up when the scheduler's
`allowed-failures` (3) are exceeded. As many tasks are under way as there are workers, so that none
waits behind another one and is given up together with it.
"""

from __future__ import annotations

import logging
import pickle
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from denoise import __version__
from denoise.cli.loading import modules_kept
from denoise.cli.workers import Lost, ctrl_c_ignored
from denoise.errors import ClusterError
from denoise.files.outputs import process_name

if TYPE_CHECKING:
    from distributed import Client, Future

Task = TypeVar("Task")
Result = TypeVar("Result")

# An address that begins like this asks for a number of processes on this machine.
LOCAL = "local:"
# Seconds to wait for a scheduler, and between two looks at which workers are there.
PATIENCE, INTERVAL = 5.0, 1.0


def on_cluster(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    address: str,
    clean_up: Callable[[Task, str], None],
) -> Generator[Result | Lost, None, None]:
    """The results of `work` in the order of the tasks, by the workers of a Dask cluster.

    What has not been begun is cancelled when this generator is closed. A worker on another
    machine finishes its task then.

    Parameters
    ----------
    work : like tasks and results, it must be fit for pickling
    address : of a scheduler, or "local:N" for N processes on this machine
    clean_up : called with each task that was under way when a worker died, once it has a result,
        and the name of that worker's process

    Raises
    ------
    ClusterError
        If the scheduler does not answer, or a worker cannot do the tasks.
    """
    waiting = iter(enumerate(tasks))
    under_way: dict[Future[Any], int] = {}
    results: dict[int, Result | Lost] = {}
    with _quiet(), _connected(address) as client, _gone_as_error(address):
        crew = _Crew(client)
        for number in range(len(tasks)):
            while number not in results:
                for begun, task in islice(waiting, max(0, crew.size - len(under_way))):
                    packed = pickle.dumps((work, task))
                    under_way[client.submit(_do, packed, pure=False)] = begun
                done = _finished(under_way)
                crew.look(under_way.values())
                for future in done:
                    finished = under_way.pop(future)
                    results[finished] = _result(future)
                    for process in crew.died.pop(finished, ()):
                        clean_up(tasks[finished], process)
            yield results.pop(number)


class _Crew:
    """The workers of a cluster, which come and go.

    Attributes
    ----------
    size : how many there are, at least 1
    died : for each task that was under way when workers died, the names of their processes
    """

    def __init__(self, client: Client) -> None:
        self.died: defaultdict[int, list[str]] = defaultdict(list)
        self._client = client
        self._processes: dict[str, str] = {}
        self.look(())

    def look(self, under_way: Iterable[int]) -> None:
        """Find out who has died while these tasks were under way, and check who has joined."""
        threads = self._client.nthreads()
        self.size = max(1, len(threads))
        dead = [self._processes.pop(one) for one in self._processes.keys() - threads.keys()]
        for number in under_way if dead else ():
            self.died[number] += dead
        joined = threads.keys() - self._processes.keys()
        answers = self._client.run(_identity, workers=list(joined), on_error="return")
        for address, answer in answers.items():
            if threads[address] > 1:
                raise ClusterError(
                    f"{address}: does {threads[address]} tasks at a time; start workers of one"
                    " thread each"
                )
            if isinstance(answer, OSError):
                continue  # it has died already
            if isinstance(answer, BaseException):
                raise ClusterError(
                    f"{address}: cannot load denoise {__version__}, install it on every machine:"
                    f" {_one_line(answer)}"
                )
            version, self._processes[address] = answer
            if version != __version__:
                raise ClusterError(
                    f"{address}: has denoise {version}, but this is {__version__}; install the"
                    " same on every machine"
                )


def _identity() -> tuple[str, str]:
    """What a worker says of itself: its version and its process."""
    return __version__, process_name()


def _do(packed: bytes) -> Any:
    """Do a task, packed so that the scheduler need not load torch to look at it."""
    with modules_kept():
        work, task = pickle.loads(packed)
    return work(task)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise ClusterError(f"--cluster needs {error.name}: pip install '.[cluster]'") from None
    if address.startswith(LOCAL):
        with ctrl_c_ignored():
            cluster = LocalCluster(
                n_workers=int(address.removeprefix(LOCAL)),
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,  # of its processes
            )
        with cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ClusterError(f"{address}: no scheduler of Dask answers: {_one_line(error)}") from None
    with client:
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from logging what we handle, such as that a task is done again."""
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _gone_as_error(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, CancelledError) as error:
        raise ClusterError(
            f"{address}: the cluster is gone; the same command with --skip-existing goes on"
        ) from error


def _finished(futures: Iterable[Future[Any]]) -> list[Future[Any]]:
    """The futures that are finished; waits a moment if there are none."""
    from distributed import wait

    with suppress(TimeoutError):
        return list(wait(list(futures), timeout=INTERVAL, return_when="FIRST_COMPLETED").done)
    return []


def _result(future: Future[Any]) -> Any:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        deaths = error.allowed_failures + 1
        return Lost(f"its worker died {deaths} times; is there too little memory for it?")
    except (OSError, CancelledError):  # the scheduler is gone
        raise
    except Exception as error:
        raise ClusterError(f"a worker cannot do its task: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
