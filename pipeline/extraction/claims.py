"""The order in which a process takes shards, where other processes may be at the same store."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator, Sequence

from pipeline.extraction.plan import ShardTask
from storage.store import FeatureStore

_LISTING_SECONDS = 5.0


class Claims:
    """The tasks of a plan, one after the other, without those that other processes have done meanwhile.

    Processes that start together all begin with the first shard. One that meets a shard which another has at hand goes
    on at a random place, where nobody else is as a rule, and learns from a listing what is done by now: it does not
    ask for every shard that others have finished.

    Args:
        store: of the tasks.
        tasks: in the order in which a process that is alone does them.
        seed: of the random places; ``None`` for other ones in every process.
    """

    def __init__(self, store: FeatureStore, tasks: Sequence[ShardTask], *, seed: int | None = None) -> None:
        self._store = store
        self._left = deque(tasks)
        self._random = random.Random(seed)
        self._listed = float("-inf")
        self.others: list[ShardTask] = []
        """Tasks that another process has at hand, or has done."""

    def __iter__(self) -> Iterator[ShardTask]:
        while self._left:
            task = self._left.popleft()
            if self._is_done(task):
                self.others.append(task)
            else:
                yield task

    def met(self, task: ShardTask) -> None:
        """Another process has this task: go on elsewhere."""
        self.others.append(task)
        if time.monotonic() - self._listed >= _LISTING_SECONDS:
            for array in task.rows:
                self._store.ledger(array).states()
            self._listed = time.monotonic()
        if self._left:
            self._left.rotate(-self._random.randrange(len(self._left)))

    def _is_done(self, task: ShardTask) -> bool:
        """Whether a listing has shown a newer commit of one of its arrays. Nothing is read."""
        return any(
            self._store.ledger(array).last_known(task.shard) != task.commits.get(array, 0) for array in task.rows
        )
