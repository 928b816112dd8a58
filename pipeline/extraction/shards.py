"""An extraction shard by shard, for callers that spread shards over machines.

What is left to do is read from the store's ledger each time, so any of these calls may be repeated or lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from queue import LifoQueue
from threading import Lock

from extractors import registry
from pipeline.extraction.engine import LoadedBackbone
from pipeline.extraction.fill import fill
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.plan import Plan
from pipeline.extraction.reporting import ExtractReport, Reporter, Reporters
from storage.clips import ClipTable
from storage.errors import BackboneBroken
from storage.store import FeatureStore


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
        seconds: wall time.
    """

    shard: int
    read: int
    failed: int
    partial: int
    reasons: dict[str, int] = field(default_factory=dict)
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


def prepare_shards(table: ClipTable, store_url: str, options: ExtractOptions) -> ShardWork:
    """Make the store and its arrays, and find what is missing. No clip is read.

    Args:
        table: the clips, in row order.
        store_url: local path or fsspec URL; made if absent.
        options: as for :func:`pipeline.extraction.extract.extract`; ``rebuild`` counts here and nowhere else.

    Raises:
        InvalidInput: If an option cannot be used.
        SchemaMismatch: If the store holds other clips, or arrays made otherwise.
        WeightsError: If weights cannot be had.
    """
    seen = _PlanReporter()
    fill(table, store_url, options, reporter=seen, only_prepare=True)
    rows: dict[int, set[int]] = {}
    for plan in seen.plans:
        for task in plan.tasks:
            rows.setdefault(task.shard, set()).update(task.clips)
    changed = dict.fromkeys(name for plan in seen.plans for name in plan.changed)
    return ShardWork(tuple(sorted(rows)), sum(map(len, rows.values())), seen.total, tuple(changed))


class ShardFiller:
    """Fills shards of one store, one call a shard. Networks stay loaded from call to call.

    Several threads may call: each call takes a device that no other holds, and waits while there is none.

    Args:
        table: the clips, in row order.
        store_url: a store that :func:`prepare_shards` has prepared.
        options: as they were there; several devices, with commas, for as many shards at once.
    """

    def __init__(self, table: ClipTable, store_url: str, options: ExtractOptions) -> None:
        self._table = table
        self._store_url = store_url
        self._options = options
        self._free: LifoQueue[tuple[str, dict[str, LoadedBackbone]]] = LifoQueue()
        self._counting = Lock()
        self._devices = list(options.devices)
        for device in reversed(self._devices):
            self._free.put((device, {}))

    def fill(self, shard: int, *, reporter: Reporter | None = None) -> ShardReport:
        """Do what is missing of a shard; a shard that is done costs a look at the ledger.

        Raises:
            AvvpError: If the store or the weights cannot be used.
            BackboneBroken: If the device is broken; it is not used again while there are others.
        """
        started = time.monotonic()
        report = ExtractReport()
        device, networks = self._free.get()
        is_broken = False
        try:
            options = replace(self._options, device=device, shards=(shard,), rebuild=False)
            everyone = Reporters(report, reporter or Reporter())
            fill(self._table, self._store_url, options, reporter=everyone, networks=networks)
        except BackboneBroken:
            is_broken = True
            raise
        finally:
            self._give_back(device, networks, is_broken=is_broken)
        reasons = {f"{status}: {why}": count for (status, why), count in report.reasons.most_common()}
        seconds = time.monotonic() - started
        return ShardReport(shard, report.read, len(report.failed), len(report.partial), reasons, seconds)

    def _give_back(self, device: str, networks: dict[str, LoadedBackbone], *, is_broken: bool) -> None:
        with self._counting:
            if is_broken and len(self._devices) > 1:
                self._devices.remove(device)
            else:
                self._free.put((device, networks))


def clip_failures(store: FeatureStore, backbones: Sequence[str]) -> ClipFailures:
    """Count a store's clips that some of these backbones have no features of, by the ledger."""
    arrays = [
        spec.name
        for name in backbones
        for spec in registry.create(name, clip_seconds=store.info.clip_seconds).specs
        if spec.name in store.features
    ]
    seen: Counter[str] = Counter()
    failed: set[str] = set()
    for array in arrays:
        for record in store.ledger(array).newest().values():
            seen.update(row.id for row in record.rows)
            failed.update(row.id for row in record.rows if row.failed)
    return ClipFailures(store.info.clips, sum(count == len(arrays) for count in seen.values()), len(failed))
