"""Progress bars of the dashboard."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging.loggers import LoggingAdapter

from storage.text import count

Log = logging.Logger | LoggingAdapter
_UPDATE_EVERY_SECONDS = 2.0


class ProgressBar:
    """A progress artifact. A dashboard that cannot be reached never stops the work.

    Args:
        total: of what is counted.
        description: beside the bar.
        key: under which the dashboard lists it.
        log: told when the dashboard is out of reach.
    """

    def __init__(self, total: int, description: str, *, key: str, log: Log) -> None:
        self.total = max(total, 1)
        self._log = log
        self._shown = time.monotonic()
        self._id: UUID | None = None
        self.done = 0.0
        try:
            made = create_progress_artifact(0.0, key=key, description=description)
        except httpx.HTTPError as problem:
            log.warning("no progress bar: %s", problem)
        else:
            self._id = made if isinstance(made, UUID) else None

    def advance(self, by: float = 1) -> None:
        """Count, and move the bar if it has not just been moved or all is done."""
        self.move_to(self.done + by)

    def move_to(self, done: float) -> None:
        """Count up to a number, see :meth:`advance`."""
        self.done = done
        now = time.monotonic()
        if self._id is None or (now - self._shown < _UPDATE_EVERY_SECONDS and self.done < self.total):
            return
        self._shown = now
        try:
            update_progress_artifact(self._id, min(100.0, round(100 * self.done / self.total, 1)))
        except httpx.HTTPError as problem:
            self._log.warning("the progress bar cannot be moved: %s", problem)


class ClipBar:
    """A run's bar of clips: one by one where its tasks run in this process, a shard at a time where they do not.

    Args:
        clips: to read.
        store: for people.
        key: under which the dashboard lists it.
        log: of the run.
        tell: told how much is done, from 0 to 1 and in words.
    """

    def __init__(
        self, clips: int, *, store: str, key: str, log: Log, tell: Callable[[float, str], None] | None = None
    ) -> None:
        self._bar = ProgressBar(clips, f"{store}: {count(clips, 'clip')}", key=key, log=log)
        self._tell = tell
        self._counted: Counter[int] = Counter()
        self._lock = threading.Lock()

    @property
    def part(self) -> float:
        """How much of it is done, from 0 to 1."""
        return min(1.0, self._bar.done / self._bar.total)

    def clip_done(self, shard: int) -> None:
        """A task of this process is done with a clip."""
        with self._lock:
            self._counted[shard] += 1
            self._move(1)

    def shard_done(self, shard: int, clips: int) -> None:
        """A shard is done, with so many clips; those that were not counted are counted now."""
        with self._lock:
            rest = clips - self._counted.pop(shard, 0)
            if rest > 0:
                self._move(rest)

    def all_done(self) -> None:
        """Nothing is left; some of it may have been done by others."""
        with self._lock:
            if self._bar.done < self._bar.total:
                self._bar.move_to(self._bar.total)

    def _move(self, clips: int) -> None:
        self._bar.advance(clips)
        if self._tell is not None:
            self._tell(self.part, f"{int(self._bar.done):,} of {count(self._bar.total, 'clip')} done")


_BARS: dict[str, ClipBar] = {}
"""By flow run: tasks get paths and numbers only, which a cluster can send."""


@contextmanager
def shown_bar(run: str, bar: ClipBar) -> Iterator[ClipBar]:
    """A flow run's bar, for the tasks of this process."""
    _BARS[run] = bar
    try:
        yield bar
    finally:
        del _BARS[run]


def bar_of(run: str) -> ClipBar | None:
    """The bar of a flow run that this process runs; ``None`` in other processes of a cluster."""
    return _BARS.get(run)
