"""A lazily created thread pool, recreated after a fork."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
_AHEAD = 4


class Threads:
    """A thread pool for reading and encoding.

    Args:
        count: of threads. With 1, work runs in the caller's thread.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Results in order. A single item, or a single thread, runs in the caller's thread."""
        todo = list(items)
        if self.count == 1 or len(todo) <= 1:
            return [work(item) for item in todo]
        return list(self._ready().map(work, todo))

    def stream(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """Results in order, one by one. Only a few are computed ahead of the caller."""
        if self.count == 1:
            yield from map(work, items)
            return
        waiting: deque[Future[B]] = deque()
        for item in items:
            waiting.append(self._ready().submit(work, item))
            if len(waiting) >= _AHEAD * self.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _ready(self) -> ThreadPoolExecutor:
        if self._pool is None or self._owner != os.getpid():
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="avvp-storage")
            self._owner = os.getpid()
        return self._pool
