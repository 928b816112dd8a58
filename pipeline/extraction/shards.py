"""An extraction shard by shard, for callers that spread shards over machines.

What is left to do is read from the store's ledger each time, so any of these calls may be repeated or lost.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np

from extractors import registry
from pipeline.extraction.fill import fill
from pipeline.extraction.fleet.errands import Event
from pipeline.extraction.fleet.fleet import Fleet
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.plan import Plan
from pipeline.extraction.reporting import ExtractReport, Reporter, Reporters
from storage.clips import ClipTable
from storage.closing import Closing
from storage.store import FeatureStore

_MOST_AT_ONCE = 8
"""Shards in a worker's hands: as many as there are callers, as a rule."""


@dataclass(frozen=True)
class ShardWork:
    """What is left to do.

    Attributes:
        shards: their numbers, in order.
        clips: clips to read in all of them.
        total_shards: of the store.
        changed: ids of clips whose file is no longer the one that was read.
    """

    shards: tuple[int, ...]
    clips: int
    total_shards: int
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShardReport:
    """What one call came to; small, so that it can travel.

    Attributes:
        shard: its number.
        read: clips read.
        failed: clips without features in some array.
        partial: clips with one modality.
        reasons: how many failed clips have which ``status: reason``.
        ended: workers that ended before their time with this shard in hand.
        seconds: wall time.
    """

    shard: int
    read: int
    failed: int
    partial: int
    reasons: dict[str, int] = field(default_factory=dict)
    ended: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class ClipFailures:
    """Clips of a store without features in some of the arrays asked for.

    Attributes:
        clips: rows of the store.
        committed: clips with a record in every array.
        failed: clips that lack features in at least one.
    """

    clips: int
    committed: int
    failed: int


class _PlanReporter(Reporter):
    """Keeps the plans."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.total = 0

    def planned(self, plan: Plan, *, shards: int) -> None:
        self.plans.append(plan)
        self.total = shards


def prepare_shards(
    table: ClipTable, store_url: str, options: ExtractOptions, *, reporter: Reporter | None = None
) -> ShardWork:
    """Make the store and its arrays, and find what is missing. No clip is read.

    Args:
        table: the clips, in row order.
        store_url: local path or fsspec URL; made if absent.
        options: as for :func:`pipeline.extraction.extract.extract`; ``rebuild`` counts here and nowhere else.
        reporter: told of the plan.

    Raises:
        InvalidInput: If an option cannot be used.
        SchemaMismatch: If the store holds other clips, or arrays made otherwise.
        WeightsError: If weights cannot be had.
    """
    seen = _PlanReporter()
    fill(table, store_url, options, reporter=Reporters(seen, reporter or Reporter()), only_prepare=True)
    rows: dict[int, set[int]] = {}
    for plan in seen.plans:
        for task in plan.tasks:
            rows.setdefault(task.shard, set()).update(task.clips)
    changed = dict.fromkeys(name for plan in seen.plans for name in plan.changed)
    return ShardWork(tuple(sorted(rows)), sum(map(len, rows.values())), seen.total, tuple(changed))


class ShardFiller(Closing):
    """Fills shards of one store, one call a shard, in a worker process for each device. A context manager.

    Several threads may call, two for each device, so that a worker decodes the next shard while it finishes one.
    Networks and decode workers stay up from call to call.

    Args:
        table: the clips, in row order.
        store_url: a store that :func:`prepare_shards` has prepared.
        options: as they were there.
    """

    def __init__(self, table: ClipTable, store_url: str, options: ExtractOptions) -> None:
        self._fleet = Fleet(table, store_url, options, at_once=_MOST_AT_ONCE)

    def fill(self, shard: int, *, reporter: Reporter | None = None) -> ShardReport:
        """Do what is missing of a shard; a shard that is done costs a look at the ledger.

        Raises:
            AvvpError: If the store or the weights cannot be used.
            BackboneBroken: If no device's worker is left, or the shard ends whatever worker is at it.
        """
        started = time.monotonic()
        report = ExtractReport()
        everyone = Reporters(report, reporter or Reporter())
        told: SimpleQueue[Event] = SimpleQueue()
        self._fleet.hand_in(shard, told)
        while not (event := told.get()).is_last:
            event.pass_on(everyone)
        event.pass_on(everyone)
        reasons = {f"{status}: {why}": count for (status, why), count in report.reasons.most_common()}
        ended = tuple(f"the worker of {device} ended: {why}" for device, why in report.ended)
        seconds = time.monotonic() - started
        return ShardReport(shard, report.read, len(report.failed), len(report.partial), reasons, ended, seconds)

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that are up now."""
        return self._fleet.worker_pids

    def close(self) -> None:
        """Stop the workers; calls that wait for a shard raise."""
        self._fleet.close()


def clip_failures(store: FeatureStore, backbones: Sequence[str]) -> ClipFailures:
    """Count a store's clips that some of these backbones have no features of, by the ledger."""
    arrays = [
        spec.name
        for name in backbones
        for spec in registry.create(name, clip_seconds=store.info.clip_seconds).specs
        if spec.name in store.features
    ]
    committed = np.ones(store.info.clips, dtype=bool)
    failed = np.zeros(store.info.clips, dtype=bool)
    for array in arrays:
        summary, rows = store.summary(array), store.committed(array)
        committed &= rows
        failed |= rows & ~summary.rows().stored
    return ClipFailures(store.info.clips, int(committed.sum()), int(failed.sum()))
