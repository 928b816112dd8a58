"""Threads for reading and encoding: made when first used, and again in a process that was forked meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Threads:
    """A thread pool that survives forks.

    Args:
        count: of threads; 1 for none beside the caller's.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Results in order; with one item, or one thread, in the caller's own thread."""
        todo = list(items)
        if self.count == 1 or len(todo) <= 1:
            return [work(item) for item in todo]
        if self._pool is None or self._owner != os.getpid():
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="avvp-storage")
            self._owner = os.getpid()
        return list(self._pool.map(work, todo))
