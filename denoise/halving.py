"""Work on many patches at once or, where a GPU's memory does not suffice, on halves of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


class Halving:
    """Splits work where it must, and remembers how much fits.

    Parameters
    ----------
    at_first : rows to try at once; by default all
    """

    def __init__(self, at_first: int | None = None) -> None:
        self._fits = at_first

    def in_parts(self, work: Callable[[slice], Result], count: int) -> list[Result]:
        """Results of `work` on all rows or, if it runs out of memory, on halves, quarters, ...

        Parameters
        ----------
        work : takes a slice of the rows 0..`count` - 1; must be able to start again
        count : at least 1

        Raises
        ------
        torch.OutOfMemoryError
            If memory does not suffice for one row.
        """
        size = min(self._fits or count, count)
        waiting = [slice(start, min(start + size, count)) for start in range(0, count, size)][::-1]
        results: list[Result] = []
        while waiting:
            rows = waiting.pop()
            result = _attempt(work, rows)
            if result is None:
                middle = (rows.start + rows.stop) // 2
                self._fits = middle - rows.start
                waiting += [slice(middle, rows.stop), slice(rows.start, middle)]
            else:
                results.append(result[0])
        return results


def _attempt(work: Callable[[slice], Result], rows: slice) -> tuple[Result] | None:
    """The result, or None if halves should be tried; the failed attempt's memory is free then.

    What runs out of memory while it is recorded (`gpu/replaying.py`) is not recorded.
    """
    try:
        return (work(rows),)
    except torch.OutOfMemoryError:
        if rows.stop - rows.start <= 1 or _is_recorded():
            raise
    torch.cuda.empty_cache()
    return None


def _is_recorded() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
