"""The shards that a worker process is handed, as tasks of its engine."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from pipeline.decode.clip_buffer import DecodeReport
from pipeline.extraction.fleet.problems import packed
from pipeline.extraction.plan import ShardTask
from pipeline.extraction.preparation import Group, Prepared
from pipeline.extraction.reporting import Reporter
from storage.errors import AvvpError
from storage.ledger import Row

_LOCKED_SECONDS = 0.5
"""After so long a shard that another process holds is looked at again."""


@dataclass(frozen=True)
class Planned:
    """A shard's work in one group of backbones."""

    group: Group
    task: ShardTask


class ShardFeed(Reporter):
    """Takes shards from the parent, plans them, and tells the parent what becomes of them.

    Messages to the parent are ``(shard, what, arguments)``: a :class:`Reporter`'s methods, and at a shard's end
    ``finished`` or ``failed``.

    Args:
        pipe: to the parent: numbers of shards come in, ``None`` at the end.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._handed: deque[int] = deque()
        self._planned: deque[Planned] = deque()
        self._left: Counter[int] = Counter()
        self._locked: deque[tuple[float, Planned]] = deque()
        self._ended = False
        self._prepared: Prepared | None = None
        self._at = 0

    def wait(self) -> bool:
        """Wait until there is something to do. Returns false when the parent wants no more."""
        while not (self._handed or self._planned or self._ended):
            self._receive(max(0.0, self._locked[0][0] - time.monotonic()) if self._locked else None)
            if self._locked and self._locked[0][0] <= time.monotonic():
                return True
        return not self._ended

    def next(self, prepared: Prepared) -> Planned | None:
        """What is to be done next; ``None`` if nothing is, right now."""
        self._prepared = prepared
        self._receive(0.0)
        while self._handed:
            self._plan(prepared, self._handed.popleft())
        while self._locked and self._locked[0][0] <= time.monotonic():
            self._look_again(prepared, self._locked.popleft()[1])
        if self._planned:
            self._at = self._planned[0].task.shard
        return self._planned[0] if self._planned else None

    def tasks(self, prepared: Prepared, group: Group, arrays: frozenset[str]) -> Iterator[ShardTask | None]:
        """Tasks for one engine, ``None`` while there is none. Ends before one that the engine is not made for.

        Args:
            prepared: the store.
            group: that the engine is made for.
            arrays: that it fills.
        """
        while True:
            found = self.next(prepared)
            if found is None:
                yield None
            elif found.group is not group or not arrays.issuperset(found.task.rows):
                return
            else:
                self._planned.popleft()
                self.say(found.task.shard, "running")
                yield found.task

    def locked(self, group: Group, task: ShardTask) -> None:
        """Look again later at a task that another process is doing now."""
        self.say(task.shard, "waiting", 1)
        self._locked.append((time.monotonic() + _LOCKED_SECONDS, Planned(group, task)))

    def fail(self, problem: BaseException) -> None:
        """Give up all that was handed over and is not done."""
        data = packed(problem)
        for shard in dict.fromkeys([*self._left, *self._handed]):
            self.say(shard, "failed", data)
        for pending in (self._handed, self._planned, self._locked, self._left):
            pending.clear()

    def say(self, shard: int | None, what: str, *arguments: Any) -> None:
        """Tell the parent."""
        self._pipe.send((shard, what, arguments))

    def loading(self, backbone: str, weights: str) -> None:
        """Pass it on, as of the shard that needs the network."""
        self.say(self._at, "loading", backbone, weights)

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """Pass it on."""
        self.say(self._shard_of(row), "clip_read", row, report)

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """Pass it on."""
        self.say(self._shard_of(row), "clip_done", row, dict(entries))

    def shard_done(self, shard: int) -> None:
        """Pass it on."""
        self.say(shard, "shard_done", shard)
        self._end_of_task(shard)

    def _end_of_task(self, shard: int) -> None:
        self._left[shard] -= 1
        if not self._left[shard]:
            del self._left[shard]
            self.say(shard, "finished")

    def _shard_of(self, row: int) -> int:
        if self._prepared is None:
            raise RuntimeError("a clip was read before there was a store")
        return row // self._prepared.store.info.shard_size

    def _receive(self, patience_seconds: float | None) -> None:
        """Take what the parent has sent; wait so long for the first of it."""
        while not self._ended and self._pipe.poll(patience_seconds):
            shard = self._pipe.recv()
            if shard is None:
                self._ended = True
            else:
                self._handed.append(shard)
            patience_seconds = 0.0

    def _plan(self, prepared: Prepared, shard: int) -> None:
        retry = prepared.options.retry_failed
        try:
            plans = [(group, prepared.plan(group, shards=(shard,), retry_failed=retry)) for group in prepared.groups]
        except (AvvpError, OSError) as problem:  # of this shard's records: the others go on
            self.say(shard, "failed", packed(problem))
            return
        for group, plan in plans:
            if plan.tasks:
                self._pipe.send((shard, "planned", (plan, prepared.store.shards)))
                self._planned.extend(Planned(group, task) for task in plan.tasks)
                self._left[shard] += len(plan.tasks)
        if shard not in self._left:
            self.say(shard, "finished")

    def _look_again(self, prepared: Prepared, found: Planned) -> None:
        """Who held the shard has redone its failed rows too, if asked to: redoing them again would be for nothing."""
        plan = prepared.plan(found.group, shards=(found.task.shard,), retry_failed=False)
        if plan.tasks:
            self._planned.extend(Planned(found.group, task) for task in plan.tasks)
        else:
            self._end_of_task(found.task.shard)
