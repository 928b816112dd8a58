"""Decoding in worker processes: in order, with a deadline a clip, in bounded memory, surviving any kill of a worker.

Each worker has a pebble pool of its own. Workers of one pebble pool share locks, and a worker killed while it holds
one blocks the others for good (read in pebble 5.2.3: the lock is a semaphore that nobody gives back, deadlines are
enforced only while it can be taken). With a pool a worker, a lost worker means: throw its pool away, make a new one.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pebble import ProcessExpired, ProcessPool

from pipeline.decode.clip_buffer import DecodedClip, DecodeReport, DecodeRequest, DecodeShape, open_slab
from pipeline.decode.media import death
from pipeline.extraction.worker_process import BareSpawnContext, SlabMemory, decode_into, start_worker
from storage.schema import Status

_POLL_SECONDS = 0.2
_START_SECONDS = 60.0
"""Allowed for starting a worker, on top of a clip's deadline."""
_MAX_LOST = 100
"""Workers in a row that may vanish before they begin with a clip; more means that they cannot run here."""
_LOST_PAUSE_SECONDS = 0.05


@dataclass
class _Job:
    request: DecodeRequest
    slab: int
    report: Future[DecodeReport] = field(default_factory=Future)


class _WorkerLost(Exception):
    """A worker ended before it reported. ``code`` is its exit code, ``None`` if it had not begun with the clip."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class DecodePool:
    """Decodes clips in worker processes.

    Args:
        shape: what every clip is decoded to.
        workers: processes at most. There is one to begin with, and twice as many whenever the caller has to wait:
            on a CPU they would take time and memory from networks that need minutes for what one decodes in seconds.
        deadline_seconds: for one clip, worker start apart.
        slabs: clips held at once, decoding, waiting or in the caller's hands; at least ``workers + 1``.
        attempts: how often a clip is tried when its worker dies.
    """

    def __init__(
        self,
        shape: DecodeShape,
        *,
        workers: int = 2,
        deadline_seconds: float = 60.0,
        slabs: int | None = None,
        attempts: int = 3,
    ) -> None:
        if workers < 1 or deadline_seconds <= 0 or attempts < 1:
            raise ValueError(f"workers {workers}, deadline {deadline_seconds} s, attempts {attempts}: all must be > 0")
        self.shape = shape
        self.slabs = max(slabs if slabs is not None else 2 * workers + 1, workers + 1)
        self._memory = SlabMemory(slabs=self.slabs, slab_bytes=shape.nbytes)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(self.slabs):
            self._free.put(number)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._workers, self._deadline_seconds, self._attempts = workers, deadline_seconds, attempts
        self._lanes: list[_Lane] = []
        self._grow()
        atexit.register(self.close)

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory it holds at most."""
        return self.slabs * self._memory.slab_bytes

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that are up now."""
        return [pid for lane in self._lanes for pid in lane.worker_pids]

    def decode(self, requests: Iterable[DecodeRequest]) -> Iterator[DecodedClip]:
        """Decode clips, in the order given, ahead of the caller as far as slabs are free.

        Call ``release()`` on each clip when done with its arrays; the iterator waits while no slab is free.

        Raises:
            ValueError: If a request has another shape than the pool.
            RuntimeError: If the pool is closed, or workers cannot be started at all.
        """
        pending: deque[_Job] = deque()
        source = iter(requests)
        more, given = True, False
        try:
            while more or pending:
                while more and (slab := self._take_slab(wait_for_one=not pending)) is not None:
                    request = next(source, None)
                    if request is None:
                        more = False
                        self._free.put(slab)
                    else:
                        pending.append(self._submit(request, slab))
                if pending:
                    if given and not pending[0].report.done() and len(pending) > len(self._lanes):
                        self._grow()
                    report = _patient_result(pending[0].report)
                    job, given = pending.popleft(), True
                    yield self._opened(job, report)
        finally:
            for job in pending:
                self._abandon(job)

    def close(self) -> None:
        """Stop the workers now and drop the memory; clips that are still held must not be read any more."""
        atexit.unregister(self.close)
        if self._closing.is_set():
            return
        self._closing.set()
        for _ in self._lanes:
            self._jobs.put(None)
        for lane in self._lanes:
            lane.join()
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _grow(self) -> None:
        """Twice as many workers, as far as that is allowed."""
        for _ in range(min(max(len(self._lanes), 1), self._workers - len(self._lanes))):
            lane = _Lane(self, self._deadline_seconds, self._attempts)
            self._lanes.append(lane)
            lane.start()

    def _take_slab(self, *, wait_for_one: bool) -> int | None:
        while True:
            if self._closing.is_set():
                raise RuntimeError("the decode pool is closed")
            try:
                return self._free.get(timeout=_POLL_SECONDS) if wait_for_one else self._free.get_nowait()
            except queue.Empty:
                if not wait_for_one:
                    return None

    def _submit(self, request: DecodeRequest, slab: int) -> _Job:
        if request.shape != self.shape:
            self._free.put(slab)
            raise ValueError(f"clip {request.clip_id!r} asks for {request.shape}, but the pool decodes to {self.shape}")
        job = _Job(request, slab)
        self._jobs.put(job)
        return job

    def _opened(self, job: _Job, report: DecodeReport) -> DecodedClip:
        return open_slab(job.request, self._memory.slab(job.slab), report, on_release=lambda: self._free.put(job.slab))

    def _abandon(self, job: _Job) -> None:
        """Give the slab back as soon as no worker writes to it any more."""
        job.report.cancel()
        job.report.add_done_callback(lambda _: self._free.put(job.slab))


class _Lane(threading.Thread):
    """One worker process and the thread that feeds it."""

    def __init__(self, owner: DecodePool, deadline_seconds: float, attempts: int) -> None:
        super().__init__(name="avvp-decode-lane", daemon=True)
        self._jobs = owner._jobs
        self._closing = owner._closing
        self._memory = owner._memory
        self._deadline_seconds = deadline_seconds
        self._attempts = attempts
        self._pool: ProcessPool | None = None
        self._warm = False

    @property
    def worker_pids(self) -> list[int]:
        pool = self._pool
        return [] if pool is None else list(pool._pool_manager.worker_manager.workers)

    def run(self) -> None:
        # Workers inherit the mask, so that Ctrl-C reaches the parent only, even while a worker is starting.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._ready_pool().active  # noqa: B018 - asking starts the worker, so that it is up when a job comes
            while (job := self._jobs.get()) is not None and not self._closing.is_set():
                if job.report.set_running_or_notify_cancel():
                    self._finish(job)
        finally:
            self._discard_pool()

    def _finish(self, job: _Job) -> None:
        try:
            job.report.set_result(self._tried(job))
        except BaseException as problem:  # noqa: BLE001 - not swallowed: the caller's thread raises it
            job.report.set_exception(problem)

    def _tried(self, job: _Job) -> DecodeReport:
        codes: list[int] = []
        lost = 0
        began = time.monotonic()
        while len(codes) < self._attempts:
            try:
                return self._once(job)
            except _WorkerLost as loss:
                self._discard_pool()
                if self._closing.is_set():
                    raise RuntimeError("the decode pool was closed") from loss
                if loss.code is not None:
                    codes.append(loss.code)
                    continue
                lost += 1
                if lost > _MAX_LOST:
                    raise RuntimeError("decode workers end as soon as they start; see their messages above") from loss
                time.sleep(_LOST_PAUSE_SECONDS)
        problem = death("the decode worker", codes)
        return DecodeReport(problem.status, problem.reason, seconds=time.monotonic() - began)

    def _once(self, job: _Job) -> DecodeReport:
        """One attempt. Raises _WorkerLost."""
        pool = self._ready_pool()
        try:
            task: Any = pool.schedule(
                decode_into,
                args=(self._memory.path, job.slab * self._memory.slab_bytes, job.request),
                timeout=self._deadline_seconds,
            )
        except RuntimeError as gone:
            raise _WorkerLost(None) from gone
        self._await(pool, task)
        try:
            report: DecodeReport = task.result()
            self._warm = True
            return report
        except ProcessExpired as death:
            raise _WorkerLost(death.exitcode) from death
        except (BrokenProcessPool, CancelledError) as broken:
            raise _WorkerLost(None) from broken
        except TimeoutError:
            self._discard_pool()
            return DecodeReport(
                Status.TIMEOUT, f"no result within {self._deadline_seconds:g} s", seconds=self._deadline_seconds
            )
        except MemoryError:
            return DecodeReport(Status.OUT_OF_MEMORY, "not enough memory to decode this clip")

    def _await(self, pool: ProcessPool, task: Any) -> None:
        """Wait until pebble has an answer. Raises _WorkerLost if it never will."""
        slack = _POLL_SECONDS * 10 if self._warm else _START_SECONDS
        give_up = time.monotonic() + self._deadline_seconds + slack
        while not wait([task], timeout=_POLL_SECONDS).done:
            # pebble aborts the tasks of a broken pool, but can miss one that was only just handed in.
            broken = not pool.active and not wait([task], timeout=_POLL_SECONDS).done
            if broken or self._closing.is_set() or time.monotonic() > give_up:
                raise _WorkerLost(None)

    def _ready_pool(self) -> ProcessPool:
        if self._pool is not None and not self._pool.active:
            self._discard_pool()
        if self._pool is None:
            self._pool = ProcessPool(
                max_workers=1, initializer=start_worker, initargs=(os.getpid(),), context=BareSpawnContext()
            )
        return self._pool

    def _discard_pool(self) -> None:
        pool, self._pool, self._warm = self._pool, None, False
        if pool is not None:
            pool.stop()
            pool.join()


def _patient_result(report: Future[DecodeReport]) -> DecodeReport:
    """The result; waits in slices, so that Ctrl-C is answered at once on every platform."""
    while not wait([report], timeout=_POLL_SECONDS).done:
        pass
    return report.result()
