"""Download workers: processes with a deadline a clip, which end ffmpeg when they are ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from pipeline.download.one_clip import DownloadJob, Outcome

_CONTEXT = multiprocessing.get_context("spawn")
_END_SECONDS = 5.0


@dataclass
class _Worker:
    """One process, and the job that it is at."""

    process: SpawnProcess
    connection: Connection
    job: DownloadJob | None = None
    started: float = 0.0

    def end(self) -> None:
        """Kill the process and what it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join(_END_SECONDS)
        self.connection.close()
        self.process.close()


class DownloadPool:
    """Worker processes, each at one clip at a time. A context manager.

    Args:
        workers: how many.
        deadline_seconds: after which a clip's download is cut off.
    """

    def __init__(self, workers: int, *, deadline_seconds: float) -> None:
        self._count = workers
        self._deadline_seconds = deadline_seconds
        self._workers: list[_Worker] = []

    def __enter__(self) -> DownloadPool:
        return self

    def __exit__(self, *error: Any) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    @property
    def busy(self) -> int:
        """Clips that are being downloaded."""
        return sum(worker.job is not None for worker in self._workers)

    @property
    def has_room(self) -> bool:
        """Whether a worker is idle, or can be started."""
        return self.busy < self._count

    def submit(self, job: DownloadJob) -> None:
        """Start a job. There must be room."""
        worker = next((worker for worker in self._workers if worker.job is None), None)
        if worker is None:
            worker = _start()
            self._workers.append(worker)
        worker.job, worker.started = job, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # a worker that died while idle: collect() finds out
            worker.connection.send(job)

    def collect(self, timeout_seconds: float) -> Iterator[tuple[DownloadJob, Outcome, float]]:
        """Wait for something to end, at most so long; give each job that did, its outcome and its seconds."""
        busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
        ends = [worker.started + self._deadline_seconds for worker in busy.values()]
        patience = min([timeout_seconds, *(end - time.monotonic() for end in ends)])
        if not busy:
            time.sleep(max(patience, 0.0))
            return
        ready = multiprocessing.connection.wait(list(busy), timeout=max(patience, 0.0))
        for connection, worker in busy.items():
            if connection in ready:
                yield self._result(worker)
            elif time.monotonic() - worker.started >= self._deadline_seconds:
                late = Outcome("timeout", f"not done within {self._deadline_seconds:g} s (--deadline)")
                yield self._replace(worker, late)

    def _result(self, worker: _Worker) -> tuple[DownloadJob, Outcome, float]:
        try:
            outcome = worker.connection.recv()
        except (EOFError, ConnectionError):
            worker.process.join(_END_SECONDS)
            return self._replace(worker, Outcome("error", f"the worker ended with code {worker.process.exitcode}"))
        job, seconds = _job_of(worker), time.monotonic() - worker.started
        worker.job = None
        return job, outcome, seconds

    def _replace(self, worker: _Worker, outcome: Outcome) -> tuple[DownloadJob, Outcome, float]:
        """End a worker; the next job starts another."""
        job, seconds = _job_of(worker), time.monotonic() - worker.started
        self._workers.remove(worker)
        worker.end()
        return job, outcome, seconds


def _job_of(worker: _Worker) -> DownloadJob:
    if worker.job is None:
        raise ValueError("the worker has no job")
    return worker.job


def _start() -> _Worker:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _serve(connection: Connection) -> None:
    """A worker's life: jobs in, outcomes out, until nobody sends any more."""
    os.setsid()  # a group of its own: Ctrl-C is the parent's affair, and killing the group kills ffmpeg too
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from pipeline.download.one_clip import fetch_clip

    while True:
        try:
            job: DownloadJob = connection.recv()
        except EOFError:
            return
        shutil.rmtree(job.work, ignore_errors=True)
        job.work.mkdir(parents=True)
        log = job.work / "messages.txt"
        _speak_into(log)
        connection.send(fetch_clip(job, log))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)


def _speak_into(log: Path) -> None:
    """Send what this process and its children print into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
