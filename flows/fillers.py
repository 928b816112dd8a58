"""The worker processes that tasks of this process hand their shards to: one set of them for a flow run."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from flows.parameters import ExtractRequest
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.shards import ShardFiller
from pipeline.extraction.worker_count import default_workers
from storage.errors import BackboneBroken

_LOCK = threading.Lock()
_Key = tuple[ExtractRequest, str, str | None]
"""The request, the run, and the GPUs that Ray lends this process for the task at hand."""
_FILLERS: dict[_Key, ShardFiller] = {}
_USES: Counter[_Key] = Counter()
_ENDED: set[str] = set()


@contextmanager
def shard_filler(request: ExtractRequest, run: str) -> Iterator[ShardFiller]:
    """This process's filler for a flow run: its workers, networks and all, stay up from task to task.

    Those of other runs, and of GPUs that this process no longer has, are closed, unless a task uses them.

    Raises:
        BackboneBroken: If the run has ended here, see :func:`closing_fillers`.
    """
    key = request, run, os.environ.get("CUDA_VISIBLE_DEVICES")
    with _LOCK:
        if run in _ENDED:
            raise BackboneBroken("the run was stopped before this shard was done")
        if key not in _FILLERS:
            for other in [item for item in _FILLERS if not _USES[item]]:
                _FILLERS.pop(other).close()
            _FILLERS[key] = ShardFiller(request.table(), request.store, request.options)
        filler = _FILLERS[key]
        _USES[key] += 1
    try:
        yield filler
    finally:
        with _LOCK:
            _USES[key] -= 1


@contextmanager
def closing_fillers(run: str) -> Iterator[None]:
    """At the end, however it comes, stop this process's workers of a flow run. Its tasks that wait for a shard fail."""
    try:
        yield
    finally:
        with _LOCK:
            _ENDED.add(run)
            ended = [_FILLERS.pop(key) for key in [key for key in _FILLERS if key[1] == run]]
        for filler in ended:
            filler.close()


def part_of(options: ExtractOptions, number: int, processes: int) -> ExtractOptions:
    """What one of several processes on a machine is to use: its devices, and its part of cores and memory.

    Args:
        options: of the run.
        number: of the process, from 0.
        processes: how many there are. With more of them than devices, some share one.
    """
    devices = options.devices[number::processes] or (options.devices[number % len(options.devices)],)
    each = default_workers(devices=max(processes, len(options.devices)))
    workers = each * len(devices) if options.workers is None else max(1, options.workers // processes)
    memory = None if options.memory_bytes is None else str(options.memory_bytes // processes)
    return replace(options, device=",".join(devices), workers=workers, memory=memory)
