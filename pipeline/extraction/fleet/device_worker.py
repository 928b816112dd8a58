"""A worker process of one device: opens the store once, builds networks and decode workers once, fills shard by shard.

It runs one engine over the shards as they come, so that the clips of the next are decoded, and share batches, with the
last ones of the shard before. An engine ends only for a shard that needs networks that it lacks.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from extractors import registry
from extractors.engines.device_errors import is_device_broken
from pipeline.extraction.child_process import begin_child
from pipeline.extraction.decode_pools import DecodePools
from pipeline.extraction.engine import Engine, LoadedBackbone
from pipeline.extraction.fill import Run, open_engine
from pipeline.extraction.fleet.shard_feed import Planned, ShardFeed
from pipeline.extraction.health import STOPPED
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.preparation import Group, Prepared, prepare
from storage.clips import ClipTable
from storage.errors import BackboneBroken

_ENDED_BY_SIGNAL = 143


@dataclass(frozen=True)
class Start:
    """What a worker is told first.

    Attributes:
        table: the clips, in row order.
        store_url: a store that has all arrays.
        options: of one device.
        backbones: the parent's registry: it may have been added to.
    """

    table: ClipTable
    store_url: str
    options: ExtractOptions
    backbones: Mapping[str, str]


@dataclass(frozen=True)
class _Opened:
    """An engine, and what it can do."""

    engine: Engine
    group: Group
    arrays: frozenset[str]


class _DeviceWorker:
    def __init__(self, start: Start, feed: ShardFeed, pools: DecodePools) -> None:
        self._start = start
        self._feed = feed
        self._pools = pools
        self._networks: dict[str, LoadedBackbone] = {}
        self._prepared: Prepared | None = None
        self._opened: _Opened | None = None
        self._closing = ExitStack()

    def work(self) -> None:
        """Do what has been handed over, until there is no more for the moment."""
        if self._prepared is None:
            self._prepared = prepare(self._start.table, self._start.store_url, self._start.options)
        while (found := self._feed.next(self._prepared)) is not None:
            opened = self._engine_for(found, self._prepared)
            opened.engine.run(
                self._feed.tasks(self._prepared, opened.group, opened.arrays),
                locked=partial(self._feed.locked, opened.group),
            )

    def close(self) -> None:
        """Let go of the engine and the store; networks stay."""
        self._closing.close()
        self._opened = self._prepared = None

    def _engine_for(self, found: Planned, prepared: Prepared) -> _Opened:
        """The engine at hand if it will do; else one that can do all that it could and this too."""
        before = self._opened
        if before is not None and before.group is found.group and before.arrays.issuperset(found.task.rows):
            return before
        self._closing.close()
        self._opened = None
        names = {item.extractor.name for item in found.group.needed_for([found.task])}
        if before is not None and before.group is found.group:
            names |= {item.extractor.name for item in before.group.chosen if before.arrays & set(item.identities)}
        needed = [item for item in found.group.chosen if item.extractor.name in names]
        run = Run(prepared, self._feed, self._networks, self._pools)
        engine = self._closing.enter_context(open_engine(run, found.group, needed))
        self._opened = _Opened(engine, found.group, found.group.filled_by(needed))
        return self._opened


def main() -> None:
    """What the process runs: fill shards until the parent wants no more, or is gone."""
    pipe, _ = begin_child()
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.suppress(EOFError, ConnectionError):
        start: Start = pipe.recv()
        registry.BACKBONES.update(start.backbones)
        feed = ShardFeed(pipe)
        with DecodePools() as pools:
            _serve(feed, _DeviceWorker(start, feed, pools))


def _serve(feed: ShardFeed, worker: _DeviceWorker) -> None:
    while feed.wait():
        try:
            worker.work()
        except (EOFError, ConnectionError) as problem:
            worker.close()
            feed.fail(problem)  # raises again if it is the parent that has gone
        except BackboneBroken as broken:
            worker.close()
            feed.say(None, "broken", str(broken).removesuffix(STOPPED), is_device_broken(broken))
            return
        except Exception as problem:  # noqa: BLE001 - not swallowed: the parent raises it
            worker.close()
            feed.fail(problem)
    worker.close()


def _leave(*_: object) -> NoReturn:
    """Release what is held, then end: locks in a bucket have no other end than time."""
    sys.exit(_ENDED_BY_SIGNAL)
