"""A sliding window of submitted tasks: a new one goes out as one ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")


class Submitted(Protocol):
    """What a task runner of any kind gives for a task."""

    def add_done_callback(self, fn: Callable[[Any], None], /) -> None:
        """Call back when the task has ended, at once if it has ended already."""


Future = TypeVar("Future", bound=Submitted)


def in_window(submit: Callable[[Item], Future], items: Iterable[Item], *, most: int) -> Iterator[tuple[Item, Future]]:
    """Submit a task for each item, so that at most so many are submitted and have not ended.

    Args:
        submit: submits one, in the thread that iterates.
        items: taken one by one, as places become free.
        most: tasks at once.

    Yields:
        Each item with its task, as tasks end; the next one has gone out then.

    Raises:
        ValueError: If ``most`` is less than 1.
    """
    if most < 1:
        raise ValueError(f"most is {most}: expected 1 or more")
    ended: SimpleQueue[tuple[Item, Future]] = SimpleQueue()
    waiting = iter(items)

    def send(number: int) -> int:
        sent = 0
        for item in islice(waiting, number):
            future = submit(item)
            future.add_done_callback(partial(_put, ended, item, future))
            sent += 1
        return sent

    running = send(most)
    while running:
        last = ended.get()
        running += send(1) - 1
        yield last


def _put(ended: SimpleQueue[tuple[Item, Future]], item: Item, future: Future, _done: Any) -> None:
    ended.put((item, future))
