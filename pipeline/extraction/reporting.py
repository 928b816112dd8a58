"""Reporters of a run, and its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.decode.clip_buffer import DecodeReport
from pipeline.extraction.plan import Plan
from pipeline.inspection.status import is_cut
from storage.ledger import Row
from storage.text import kind_of_reason


class Reporter:
    """Told of a run's plan, clips and shards. This base class keeps silent."""

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Work is about to begin; ``shards`` is how many the store has."""

    def loading(self, backbone: str, weights: str) -> None:
        """A network is about to be built."""

    def running(self) -> None:
        """All networks are built; clips are about to be read."""

    def waiting(self, shards: int) -> None:
        """Other processes hold the shards that are left."""

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """A clip has been decoded, or has failed to be."""

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """All backbones are done with a clip: it has an entry in every array. Its shard may wait for other clips."""

    def shard_done(self, shard: int) -> None:
        """A shard is committed."""

    def worker_ended(self, device: str, reason: str) -> None:
        """A device's worker has ended before its time; its shards are done by another one."""

    def device_lost(self, device: str, reason: str) -> None:
        """One of several devices was given up; the others have done its work."""


@dataclass
class ExtractReport(Reporter):
    """What a run came to.

    Attributes:
        shards: shards committed by this run.
        read: clips read by this run.
        failed: clips that lack features in some array: id to ``(status, reason)``.
        partial: clips with one modality, whose features of that modality are stored.
        cut: clips of which only the beginning was used: they are longer than the store's clips.
        changed: ids of clips whose file had changed since it was read.
        ended: workers of devices that ended before their time: device and reason.
        lost: devices that were given up, and why.
        seconds: wall time.
    """

    shards: set[int] = field(default_factory=set)
    read: int = 0
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    changed: tuple[str, ...] = ()
    ended: list[tuple[str, str]] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Note the clips that changed."""
        self.changed = tuple(dict.fromkeys((*self.changed, *plan.changed)))

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """Count it."""
        self.read += 1

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """Note it if it failed in some array."""
        for entry in entries.values():
            if entry.stored and is_cut(entry.reason):
                self.cut.add(entry.id)
            if entry.failed:
                self.failed[entry.id] = (entry.status, entry.reason)
            elif entry.status == "partial":
                self.partial.add(entry.id)

    def shard_done(self, shard: int) -> None:
        """Count it."""
        self.shards.add(shard)

    def worker_ended(self, device: str, reason: str) -> None:
        """Note it."""
        self.ended.append((device, reason))

    def device_lost(self, device: str, reason: str) -> None:
        """Note it."""
        self.lost[device] = reason

    @property
    def reasons(self) -> Counter[tuple[str, str]]:
        """Failed clips by status and reason; where reasons differ in numbers only, these are N."""
        groups: dict[tuple[str, str], list[str]] = {}
        for status, reason in self.failed.values():
            groups.setdefault((status, kind_of_reason(reason)), []).append(reason)
        return Counter(
            {
                (status, reasons[0] if len(set(reasons)) == 1 else kind): len(reasons)
                for (status, kind), reasons in groups.items()
            }
        )


class Reporters(Reporter):
    """Tells several reporters.

    Args:
        reporters: told in this order.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.planned(plan, shards=shards)

    def loading(self, backbone: str, weights: str) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.loading(backbone, weights)

    def running(self) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.running()

    def waiting(self, shards: int) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.waiting(shards)

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.clip_read(row, report)

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.clip_done(row, entries)

    def shard_done(self, shard: int) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.shard_done(shard)

    def worker_ended(self, device: str, reason: str) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.worker_ended(device, reason)

    def device_lost(self, device: str, reason: str) -> None:
        """Tell all."""
        for reporter in self._reporters:
            reporter.device_lost(device, reason)
