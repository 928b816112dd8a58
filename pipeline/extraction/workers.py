"""Decodes clips in worker processes, with a deadline a clip, in bounded memory.

Each worker has a thread here that feeds it through a socket. Workers share no lock and nothing with a name: one that is
killed, or stopped, concerns its own clip only, and a kill of all leaves nothing behind.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from pipeline.decode.clip_buffer import DecodedClip, DecodeRequest, DecodeShape, open_buffer
from pipeline.extraction.error_log import ErrorLog
from pipeline.extraction.worker_lane import Job, Lane
from pipeline.extraction.worker_process import SharedBuffers
from storage.closing import Closing

_POLL_SECONDS = 0.2
_FIRST_CLIP_SECONDS = 3.0
"""After so long without a clip there are more workers, even if none has given one yet."""
_END = object()


class DecodePool(Closing):
    """Decodes clips in worker processes.

    Args:
        shape: what every clip is decoded to.
        workers: processes at most. There is one to begin with, and twice as many whenever the caller has to wait:
            on a CPU they would take time and memory from networks that need minutes for what one decodes in seconds.
        deadline_seconds: for one clip, worker start apart.
        buffers: clips held at once, decoding, waiting or in the caller's hands; at least ``workers + 1``.
        attempts: how often a clip is tried when its worker dies, or is stopped (SIGSTOP) until the deadline.
        error_log: file for internal errors of workers, with their tracebacks; ``None`` to drop those.
        niceness: by how much workers give way to this process.
    """

    def __init__(
        self,
        shape: DecodeShape,
        *,
        workers: int = 2,
        deadline_seconds: float = 60.0,
        buffers: int | None = None,
        attempts: int = 3,
        error_log: Path | None = None,
        niceness: int = 0,
    ) -> None:
        if workers < 1 or deadline_seconds <= 0 or attempts < 1:
            raise ValueError(f"workers {workers}, deadline {deadline_seconds} s, attempts {attempts}: all must be > 0")
        self.shape = shape
        self.buffers = max(buffers if buffers is not None else 2 * workers + 1, workers + 1)
        self._memory = SharedBuffers(buffers=self.buffers, buffer_bytes=shape.nbytes)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(self.buffers):
            self._free.put(number)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._workers = workers
        self._new_lane = partial(
            Lane,
            self._jobs,
            self._closing,
            self._memory,
            deadline_seconds=deadline_seconds,
            attempts=attempts,
            log=ErrorLog(error_log),
            niceness=niceness,
        )
        self._lanes: list[Lane] = []
        self._grow()
        atexit.register(self.close)

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory it holds at most."""
        return self.buffers * self._memory.buffer_bytes

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that are up now."""
        workers = [lane.worker for lane in self._lanes]
        return [worker.pid for worker in workers if worker is not None and worker.alive]

    def decode(self, requests: Iterable[DecodeRequest | None]) -> Iterator[DecodedClip]:
        """Decode clips, ahead of the caller as far as buffers are free, and give each as soon as it is done.

        A slow clip holds up its own worker only. Call ``release()`` on each clip when done with its arrays; the
        iterator waits while no buffer is free.

        Args:
            requests: asked for as buffers become free. ``None`` says that there is none to be had yet: they are asked
                again when a clip has been given, or a moment later. It must not come when no clip is under way.

        Yields:
            Clips in any order; each holds the request that it answers.

        Raises:
            ValueError: If a request has another shape than the pool.
            RuntimeError: If the pool is closed, or workers cannot be started at all.
        """
        pending: set[Job] = set()
        finished: queue.SimpleQueue[Job] = queue.SimpleQueue()
        source = iter(requests)
        more, may_grow = True, False
        patience = time.monotonic() + _FIRST_CLIP_SECONDS
        try:
            while more or pending:
                more = more and self._fill(source, pending, finished)
                waits_long = time.monotonic() > patience  # one worker that hangs must not be all there is
                if (may_grow or waits_long) and finished.empty() and len(pending) > len(self._lanes):
                    self._grow()
                    may_grow, patience = False, time.monotonic() + _FIRST_CLIP_SECONDS
                job = self._next(finished) if pending else None
                if job is not None:
                    pending.remove(job)
                    may_grow = True
                    yield self._opened(job)
                    patience = time.monotonic() + _FIRST_CLIP_SECONDS
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

    def _grow(self) -> None:
        """Twice as many workers, as far as that is allowed."""
        for _ in range(min(max(len(self._lanes), 1), self._workers - len(self._lanes))):
            lane = self._new_lane()
            self._lanes.append(lane)
            lane.start()

    def _fill(
        self, source: Iterator[DecodeRequest | None], pending: set[Job], finished: queue.SimpleQueue[Job]
    ) -> bool:
        """Hand out work while there is some and buffers are free. Returns whether there may be more later."""
        while (buffer := self._take_buffer(wait_for_one=not pending)) is not None:
            request = next(source, _END)
            if isinstance(request, DecodeRequest):
                pending.add(self._submit(request, buffer, finished))
                continue
            self._free.put(buffer)
            if request is None and not pending:
                raise ValueError("the requests wait for a clip that is not under way")
            return request is None
        return True

    def _take_buffer(self, *, wait_for_one: bool) -> int | None:
        """A free buffer; waits in slices, so that Ctrl-C is answered at once on every platform."""
        while True:
            self._refuse_if_closed()
            try:
                return self._free.get(timeout=_POLL_SECONDS) if wait_for_one else self._free.get_nowait()
            except queue.Empty:
                if not wait_for_one:
                    return None

    def _next(self, finished: queue.SimpleQueue[Job]) -> Job | None:
        """The next job that is done; none if that takes longer than there may be other things to do."""
        self._refuse_if_closed()
        with contextlib.suppress(queue.Empty):
            return finished.get(timeout=_POLL_SECONDS)
        return None

    def _refuse_if_closed(self) -> None:
        if self._closing.is_set():
            raise RuntimeError("the decode pool is closed")

    def _submit(self, request: DecodeRequest, buffer: int, finished: queue.SimpleQueue[Job]) -> Job:
        if request.shape != self.shape:
            self._free.put(buffer)
            raise ValueError(f"clip {request.clip_id!r} asks for {request.shape}, but the pool decodes to {self.shape}")
        job = Job(request, buffer)
        job.report.add_done_callback(lambda _: finished.put(job))
        self._jobs.put(job)
        return job

    def _opened(self, job: Job) -> DecodedClip:
        buffer, report = self._memory.buffer(job.buffer), job.report.result()
        return open_buffer(job.request, buffer, report, on_release=lambda: self._free.put(job.buffer))

    def _abandon(self, job: Job) -> None:
        """Give the buffer back as soon as no worker writes to it any more."""
        job.report.cancel()
        job.report.add_done_callback(lambda _: self._free.put(job.buffer))
