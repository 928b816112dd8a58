"""Extraction on several devices: one worker process each, on one store.

Nothing is shared but the store. A worker that dies, or whose device breaks, gives up its shards; the others do them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from pipeline.decode.clip_buffer import DecodeReport
from pipeline.extraction.fill import fill
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.worker_count import default_workers
from storage.clips import ClipTable
from storage.errors import AvvpError, BackboneBroken, InvalidInput, StoreError
from storage.ledger import Row

_END_SECONDS = 10.0
"""Between a worker's last word and its end."""


class _PipeReporter(Reporter):
    """Sends what happens to the parent process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def loading(self, backbone: str, weights: str) -> None:
        self._pipe.send(("loading", (backbone, weights)))

    def running(self) -> None:
        self._pipe.send(("running", ()))

    def clip_read(self, row: int, report: DecodeReport) -> None:
        self._pipe.send(("clip_read", (row, report)))

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        self._pipe.send(("clip_done", (row, dict(entries))))

    def shard_done(self, shard: int) -> None:
        self._pipe.send(("shard_done", (shard,)))


@dataclass
class _Worker:
    device: str
    process: Any
    pipe: Connection
    finished: bool = False
    broken: str = ""

    @property
    def end(self) -> str:
        """How it ended, for people."""
        return self.broken or f"exit code {self.process.exitcode}"


def fill_on_devices(
    table: ClipTable, store_url: str, options: ExtractOptions, *, devices: Sequence[str], reporter: Reporter
) -> None:
    """Fill a store with one worker process a device.

    Args:
        table: the clips, in row order.
        store_url: local path or fsspec URL.
        options: what and how; decode workers and memory are shared out evenly.
        devices: such as ``cuda:0`` and ``cuda:1``; one may be named twice.
        reporter: told of every clip and shard of all workers.

    Raises:
        AvvpError: What a worker was refused for.
        BackboneBroken: If no worker is left, and some were broken.
        StoreError: If all workers died.
    """
    fill(table, store_url, options, reporter=reporter, only_prepare=True)
    decoders = max(1, (options.workers or default_workers()) // len(devices))
    memory = None if options.memory_bytes is None else str(options.memory_bytes // len(devices))
    context = multiprocessing.get_context("spawn")
    workers = []
    for device in devices:
        ours, theirs = context.Pipe(duplex=False)
        own = replace(options, device=device, workers=decoders, memory=memory, rebuild=False)
        process = context.Process(target=_work, args=(theirs, table, store_url, own), name=f"avvp {device}")
        process.start()
        theirs.close()
        workers.append(_Worker(device, process, ours))
    try:
        _listen(workers, reporter)
        for worker in workers:
            worker.process.join(_END_SECONDS)
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()
    lost = [worker for worker in workers if not worker.finished]
    if len(lost) == len(workers):
        ends = ", ".join(f"{worker.device}: {worker.end}" for worker in lost)
        if any(worker.broken for worker in lost):
            raise BackboneBroken(ends)
        raise StoreError(f"{store_url}: every worker died ({ends}). Committed shards are safe; see the messages above")
    for worker in lost:
        reporter.device_lost(worker.device, worker.end)


def _work(pipe: Connection, table: ClipTable, store_url: str, options: ExtractOptions) -> None:
    """A worker process."""
    try:
        fill(table, store_url, options, reporter=_PipeReporter(pipe))
    except BackboneBroken as broken:
        pipe.send(("broken", (str(broken),)))
    except AvvpError as refused:
        pipe.send(("refused", (str(refused),)))
    else:
        pipe.send(("finished", ()))


def _listen(workers: Sequence[_Worker], reporter: Reporter) -> None:
    """Pass on what the workers say until all have ended."""
    listening = list(workers)
    while listening:
        ready = wait([worker.pipe for worker in listening])
        for worker in [worker for worker in listening if worker.pipe in ready]:
            try:
                what, arguments = worker.pipe.recv()
            except EOFError:
                listening.remove(worker)
                continue
            if what == "refused":
                raise InvalidInput(arguments[0])
            if what == "finished":
                worker.finished = True
            elif what == "broken":
                worker.broken = arguments[0]
            else:
                getattr(reporter, what)(*arguments)
