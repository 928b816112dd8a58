"""Estimates the pace of a run and the time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

_WINDOW_SECONDS = 60.0
_FEWEST_INTERVALS = 8
"""The window reaches back for a minute, or for this many intervals where they are longer."""

_ONE_MOMENT_SECONDS = 0.25
"""Clips of one batch are finished within this time, and count as one moment."""

_INTERVALS_WITHOUT_START = 2
"""With so many intervals between moments at hand, the first one, in which nothing was warm, no longer counts."""


class _Moment(NamedTuple):
    at: float
    done: int


class Pace:
    """Rate and time left, from the moments at which clips were finished since the networks were ready.

    Clips come in bursts: a batch at a time, or a shard. So the rate is taken between moments, never up to an arbitrary
    time within an interval; only when the next moment is overdue does the wait count, too, and the estimate grows.

    Args:
        clock: seconds that only grow.

    Attributes:
        total: clips that are planned.
        done: clips that are finished.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.total = 0
        self.done = 0
        self.start()

    def start(self) -> None:
        """Measure from here: networks have just become ready."""
        self._moments = deque([_Moment(self._clock(), self.done)])
        self._from_start = True

    def finish(self) -> None:
        """A clip is finished."""
        now = self._clock()
        self.done += 1
        last = self._moments[-1]
        if len(self._moments) > 1 and now - last.at < _ONE_MOMENT_SECONDS:
            self._moments[-1] = _Moment(last.at, self.done)
            return
        self._moments.append(_Moment(now, self.done))
        if self._from_start and len(self._moments) > 1 + _INTERVALS_WITHOUT_START:
            self._moments.popleft()
            self._from_start = False
        while len(self._moments) > 1 + _FEWEST_INTERVALS and self._moments[1].at < now - _WINDOW_SECONDS:
            self._moments.popleft()

    @property
    def clips_per_second(self) -> float | None:
        """Over the window; ``None`` before the first clip is finished."""
        first, last = self._moments[0], self._moments[-1]
        seconds = last.at - first.at + self._overdue
        return (last.done - first.done) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Until all are finished; ``None`` before the first one is. What is overdue is taken to need as long again."""
        if self.done >= self.total:
            return 0.0
        rate = self.clips_per_second
        if rate is None:
            return None
        waited = min(self._clock() - self._moments[-1].at, self._interval)
        return max((self.total - self.done) / rate - waited, self._overdue)

    @property
    def _interval(self) -> float:
        """Mean time between moments."""
        return (self._moments[-1].at - self._moments[0].at) / max(len(self._moments) - 1, 1)

    @property
    def _overdue(self) -> float:
        """How much later than usual the next moment is."""
        if len(self._moments) == 1:
            return 0.0
        return max(0.0, self._clock() - self._moments[-1].at - self._interval)

    def __str__(self) -> str:
        """``0.12 clips/s, ETA 3:02``."""
        rate, left = self.clips_per_second, self.seconds_left
        return f"{'?' if rate is None else f'{rate:.2f}'} clips/s, ETA {'?' if left is None else _hours(left)}"


def _hours(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
