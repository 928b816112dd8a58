"""A lane of the decode pool: one worker process, and the thread that feeds it and handles its failures."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.decode.clip_buffer import DecodeReport, DecodeRequest
from pipeline.decode.media import death
from pipeline.extraction.error_log import ErrorLog
from pipeline.extraction.worker_process import SharedBuffers, WorkerProcess
from storage.schema import Status

_POLL_SECONDS = 0.2
_START_SECONDS = 60.0
"""Allowed for starting a worker, on top of a clip's deadline."""
_MAX_LOST = 100
"""Workers in a row that may vanish before they begin with a clip; more means that they cannot run here."""
_LOST_PAUSE_SECONDS = 0.05
_EXIT_SECONDS = 1.0
"""Between the end of a worker's socket and its exit code."""
_LONGEST_TURN_SECONDS = 1.0


@dataclass(eq=False)
class Job:
    """One clip to decode.

    Attributes:
        request: what is wanted.
        buffer: where to put it.
        report: how it ended.
    """

    request: DecodeRequest
    buffer: int
    report: Future[DecodeReport] = field(default_factory=Future)


class _WorkerLost(Exception):
    """A worker ended, or took too long to start, before it began with the clip."""


class _WorkerStopped(Exception):
    """A worker was stopped by a signal and did not report by the deadline."""


class _WorkerDied(Exception):
    """A worker ended before it reported; ``code`` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Lane(threading.Thread):
    """One worker process and the thread that feeds it.

    Args:
        jobs: where it takes its work from, until it finds ``None``.
        closing: set when all work is to be dropped.
        memory: of all clips.
        deadline_seconds: for one clip, worker start apart.
        attempts: how often a clip is tried when its worker dies or is stopped.
        log: of internal errors.
        niceness: of the worker, see :class:`~pipeline.extraction.worker_process.WorkerProcess`.

    Attributes:
        worker: the process that is up now.
    """

    def __init__(
        self,
        jobs: queue.SimpleQueue[Job | None],
        closing: threading.Event,
        memory: SharedBuffers,
        *,
        deadline_seconds: float,
        attempts: int,
        log: ErrorLog,
        niceness: int = 0,
    ) -> None:
        super().__init__(name="avvp-decode-lane", daemon=True)
        self._jobs = jobs
        self._closing = closing
        self._memory = memory
        self._deadline_seconds = deadline_seconds
        self._attempts = attempts
        self._log = log
        self._niceness = niceness
        self.worker: WorkerProcess | None = None

    def run(self) -> None:
        """Feed the worker until the pool closes."""
        # Workers inherit the mask, so that Ctrl-C reaches the parent only, even while a worker is starting.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with contextlib.suppress(OSError):  # told when a clip needs it
                self.worker = WorkerProcess(niceness=self._niceness)  # so that it is up when a job comes
            while (job := self._jobs.get()) is not None and not self._closing.is_set():
                if job.report.set_running_or_notify_cancel():
                    self._finish(job)
        finally:
            self._end_worker()

    def _finish(self, job: Job) -> None:
        try:
            job.report.set_result(self._tried(job))
        except BaseException as problem:  # noqa: BLE001 - not swallowed: the caller's thread raises it
            job.report.set_exception(problem)

    def _tried(self, job: Job) -> DecodeReport:
        codes: list[int] = []
        stops, lost = 0, 0
        began = time.monotonic()
        while len(codes) + stops < self._attempts:
            try:
                return self._once(job)
            except _WorkerStopped:
                stops += 1
            except _WorkerDied as loss:
                codes.append(loss.code)
            except (_WorkerLost, OSError) as loss:
                lost += 1
                if lost > _MAX_LOST:
                    raise RuntimeError("decode workers end as soon as they start; see their messages above") from loss
                time.sleep(_LOST_PAUSE_SECONDS)
            self._end_worker()
        seconds = time.monotonic() - began
        if not codes:
            return self._late(seconds)
        problem = death("the decode worker", codes)
        return DecodeReport(problem.status, problem.reason, seconds=seconds)

    def _late(self, seconds: float) -> DecodeReport:
        return DecodeReport(Status.TIMEOUT, f"no result within {self._deadline_seconds:g} s", seconds=seconds)

    def _once(self, job: Job) -> DecodeReport:
        """One attempt.

        Raises:
            OSError: If no worker can be started.
            _WorkerLost: If the worker does not even begin with the clip.
            _WorkerDied: If it ends before it reports.
            _WorkerStopped: If it was stopped, and so missed the deadline.
        """
        if self.worker is None or not self.worker.alive:
            self._end_worker()
            self.worker = WorkerProcess(niceness=self._niceness)
        worker = self.worker
        with contextlib.suppress(OSError):  # it has ended: the answer will say so
            worker.pipe.send((self._memory.path, job.buffer * self._memory.buffer_bytes, job.request))
        started, _ = self._wait(worker, self._deadline_seconds + (0 if worker.warm else _START_SECONDS))
        if not started:
            raise _WorkerLost
        self._receive(worker, begun=False)
        answered, was_stopped = self._wait(worker, self._deadline_seconds)
        if was_stopped and not answered:
            raise _WorkerStopped
        if not answered:
            self._end_worker()
            return self._late(self._deadline_seconds)
        report, bug = self._receive(worker, begun=True)
        worker.warm = True
        return self._logged(job.request, report, bug) if bug else report

    def _logged(self, request: DecodeRequest, report: DecodeReport, bug: str) -> DecodeReport:
        where = self._log.write(request.clip_id, request.path, bug)
        return replace(report, reason=f"{report.reason} ({where})")

    def _wait(self, worker: WorkerProcess, limit_seconds: float) -> tuple[bool, bool]:
        """Wait for the worker's next message.

        A turn counts as a second at most, so that time in which this process was itself stopped (Ctrl-Z) is no
        worker's fault.

        Returns:
            Whether a message or the worker's end came within the limit, and whether the worker was seen stopped.
        """
        spent, was_stopped = 0.0, False
        before = time.monotonic()
        while not worker.pipe.poll(_POLL_SECONDS):
            if self._closing.is_set():
                raise RuntimeError("the decode pool was closed")
            now = time.monotonic()
            spent, before = spent + min(now - before, _LONGEST_TURN_SECONDS), now
            was_stopped = was_stopped or worker.stopped
            if spent >= limit_seconds:
                return False, was_stopped
        return True, was_stopped

    def _receive(self, worker: WorkerProcess, *, begun: bool) -> Any:
        try:
            return worker.pipe.recv()
        except (EOFError, OSError) as gone:
            code = worker.end(patience_seconds=_EXIT_SECONDS)
            raise (_WorkerDied(code) if begun else _WorkerLost) from gone

    def _end_worker(self) -> None:
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.end()
