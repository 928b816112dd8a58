"""The shards that a run holds in memory: opened in order, filled in any order, written when complete."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from pipeline.extraction.health import Health
from pipeline.extraction.jobs import ShardJob
from pipeline.extraction.plan import ShardTask
from pipeline.extraction.reporting import Reporter
from storage.errors import ShardLocked
from storage.layout.decoded import DecodedSpec
from storage.store import FeatureStore

OPEN_SHARDS = 3
"""Shards in memory at once, such as one that waits for a slow clip, the one after it, and one in the writer's hands."""


class OpenShards:
    """Opens shards as clips are asked for, and has the complete ones written.

    At most :data:`OPEN_SHARDS` are open, or, where shards are small, as many as hold ``lookahead`` clips.

    Args:
        store: open for writing.
        tasks: what to do; ``None`` among them says that there is none to be had yet. They are asked again when a clip
            has been given, or a moment later; when no clip is under way that is the end.
        kept: specs of intermediates to keep, by ledger name.
        identities: fingerprint of each feature array, as this run makes it.
        circumstances: of a feature array, as it is made now.
        reporter: told of every clip that is done and every shard that is committed.
        lookahead: clips that the source works on at once.
        health: says what may be committed.
        writer: commits shards, one at a time.
        drain: finishes what waits in unfilled batches.
        locked: told of a task that another process is doing now.
    """

    def __init__(
        self,
        store: FeatureStore,
        tasks: Iterable[ShardTask | None],
        *,
        kept: Mapping[str, DecodedSpec],
        identities: Mapping[str, str],
        circumstances: Callable[[str], Mapping[str, Any]] = lambda array: {},
        reporter: Reporter,
        lookahead: int,
        health: Health,
        writer: Executor,
        drain: Callable[[], None],
        locked: Callable[[ShardTask], None],
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._kept = kept
        self._identities = identities
        self._circumstances = circumstances
        self._reporter = reporter
        self._lookahead = lookahead
        self._health = health
        self._writer = writer
        self._drain = drain
        self._open: list[ShardJob] = []
        self._under_way: dict[int, ShardJob] = {}
        self._commits: deque[tuple[ShardJob, Future[None]]] = deque()
        self._locked = locked

    def rows(self) -> Iterator[int | None]:
        """Rows to read, shard after shard; ``None`` while no shard may be opened yet: ask again, or give a clip."""
        for task in self._tasks:
            if task is None:
                if not self._under_way:
                    return
                yield None
                continue
            yield from self._until_there_is_room()
            job = self._opened(task)
            if job is not None:
                self._under_way.update(dict.fromkeys(task.clips, job))
                yield from task.clips

    def _until_there_is_room(self) -> Iterator[None]:
        """Wait for clips under way, then for the writer; if that is not enough, finish batches that are not full."""
        waited_for = 0
        while self._is_full():
            under_way = len(self._under_way)
            if under_way and under_way != waited_for:
                waited_for = under_way
                yield None
            elif self._commits:
                self._commits[0][1].result()
            else:  # all that is to come soon has come
                self._drain()
                self.commit_complete()
                if self._is_full() and not self._commits:
                    if not under_way:
                        self._refuse_lost_rows()
                    yield None
            self.commit_complete()

    def _refuse_lost_rows(self) -> None:
        raise RuntimeError(f"shards {[job.task.shard for job in self._open]} lack rows though all clips were read")

    def taken(self, row: int) -> ShardJob:
        """The shard of a row that has been read."""
        return self._under_way.pop(row)

    def commit_complete(self, *, at_the_end: bool = False) -> None:
        """Hand complete shards to the writer and report what it has written; an error of the writer ends the run.

        Args:
            at_the_end: also those of which it cannot be told yet whether a backbone is broken.

        Raises:
            BackboneBroken: If half of a shard says so.
        """
        told = [
            job for job in self._open if job.complete and (at_the_end or not self._health.is_doubtful(job.task.shard))
        ]
        for job in told:  # all of them before any is committed: one may tell what is wrong with another
            self._health.check(job.task.shard)
        for job in told:
            if self._health.fails_lately(job.task.shard) and not at_the_end:
                continue
            self._health.forget(job.task.shard)
            self._open.remove(job)
            self._commits.append((job, self._writer.submit(job.commit)))
        while self._commits and self._commits[0][1].done():
            self._report_oldest()

    def finish(self) -> None:
        """Finish all that was opened, and wait until it is written."""
        self._drain()
        self.commit_complete(at_the_end=True)
        while self._commits:
            self._report_oldest()
        if self._open:
            self._refuse_lost_rows()

    def release(self) -> None:
        """Let others have what is not complete."""
        for job in self._open:
            job.release()

    def _is_full(self) -> bool:
        # Complete ones that are still here are in doubt: a few clips each, and told by those to come.
        jobs = [job for job in self._open if not job.complete] + [job for job, _ in self._commits]
        return len(jobs) >= OPEN_SHARDS and sum(len(job.span) for job in jobs) >= self._lookahead

    def _opened(self, task: ShardTask) -> ShardJob | None:
        try:
            job = ShardJob(
                self._store,
                task,
                kept=self._kept,
                identities=self._identities,
                circumstances=self._circumstances,
                on_row=self._reporter.clip_done,
            )
        except ShardLocked:
            self._locked(task)
            return None
        self._open.append(job)
        return job

    def _report_oldest(self) -> None:
        job, commit = self._commits.popleft()
        commit.result()
        self._reporter.shard_done(job.task.shard)
