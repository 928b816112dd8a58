"""Plans what is left to do, from the store's ledger and the clips' files alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from storage.clips import Clip
from storage.ledger import Row, ShardRecord
from storage.media.stamps import file_stamp
from storage.schema import Status
from storage.store import FeatureStore


@dataclass(frozen=True)
class ShardTask:
    """One shard's work.

    Attributes:
        shard: its number.
        rows: for each array (or ``decoded.<name>``), the rows to make; rows it has already are kept.
        known: for each array that has a record, that record.
    """

    shard: int
    rows: Mapping[str, frozenset[int]]
    known: Mapping[str, ShardRecord] = field(default_factory=dict)

    @property
    def clips(self) -> list[int]:
        """Rows that some array needs, in order."""
        return sorted(frozenset().union(*self.rows.values()))


@dataclass(frozen=True)
class Plan:
    """All work, in shard order.

    Attributes:
        tasks: shards with something to do.
        changed: ids of clips whose file is no longer the one that was read.
    """

    tasks: tuple[ShardTask, ...]
    changed: tuple[str, ...]

    @property
    def clips(self) -> int:
        """How many clips must be read."""
        return sum(len(task.clips) for task in self.tasks)


Fingerprinter = Callable[[Clip], str]
"""Content address of a clip's file and span, or ``""`` where there is no file."""


def make_plan(
    store: FeatureStore,
    arrays: Iterable[str],
    clips: Sequence[Clip],
    *,
    fingerprint_of: Fingerprinter,
    retry_failed: bool = False,
    shards: Iterable[int] | None = None,
) -> Plan:
    """Find the rows that are missing, cut off, changed on disk or, if asked, failed.

    Args:
        store: the store.
        arrays: feature arrays and ``decoded.<name>`` to fill.
        clips: the table in row order, with today's paths.
        fingerprint_of: called only for files whose size or time differ from the ledger's.
        retry_failed: also redo rows that hold no features.
        shards: look at these only.

    Returns:
        The plan; a shard that needs nothing is not in it.
    """
    records: dict[str, dict[int, ShardRecord]] = {}
    cut_off: dict[str, set[int]] = {}
    chosen = range(store.shards) if shards is None else list(shards)
    for array in arrays:
        ledger = store.ledger(array)
        states = {shard: state for shard, state in ledger.states().items() if shard in chosen}
        records[array] = {shard: ledger.read(shard, state.commit) for shard, state in states.items()}
        cut_off[array] = {shard for shard, state in states.items() if state.interrupted}
    changed = _changed_rows(records.values(), clips, fingerprint_of)
    tasks = []
    for shard in chosen:
        rows = {
            array: _rows_to_make(
                store.shard_rows(shard),
                known.get(shard),
                changed,
                redo_failed=retry_failed or shard in cut_off[array],
            )
            for array, known in records.items()
        }
        rows = {array: wanted for array, wanted in rows.items() if wanted}
        if rows:
            known_here = {array: records[array][shard] for array in rows if shard in records[array]}
            tasks.append(ShardTask(shard, rows, known_here))
    return Plan(tuple(tasks), tuple(clips[row].id for row in sorted(changed)))


def _rows_to_make(
    span: range, record: ShardRecord | None, changed: frozenset[int], *, redo_failed: bool
) -> frozenset[int]:
    if record is None:
        return frozenset(span)
    rows = list(zip(span, record.rows, strict=True))
    failed = {row for row, entry in rows if entry.failed and redo_failed}
    marked = {row for row, entry in rows if entry.code is Status.PENDING}  # by avvp verify --repair
    return frozenset(failed | marked | (changed & set(span)))


def _changed_rows(
    records: Iterable[Mapping[int, ShardRecord]], clips: Sequence[Clip], fingerprint_of: Fingerprinter
) -> frozenset[int]:
    """Rows whose file differs from the one that any array was made from; a file that has gone is no change."""
    seen: dict[int, list[Row]] = {}
    for by_shard in records:
        for record in by_shard.values():
            for offset, entry in enumerate(record.rows):
                seen.setdefault(record.first_clip + offset, []).append(entry)
    changed = set()
    for row, entries in seen.items():
        stamp = file_stamp(clips[row].path)
        doubtful = [entry for entry in entries if stamp and _is_comparable(entry) and stamp != _stamp_of(entry)]
        if doubtful:
            now = fingerprint_of(clips[row])
            if any(entry.clip_fingerprint != now for entry in doubtful):
                changed.add(row)
    return frozenset(changed)


def _is_comparable(entry: Row) -> bool:
    """Whether the ledger knows the file's content. After a time-out or a crash it does not: that is no change."""
    return bool(entry.clip_fingerprint) or entry.code is Status.MISSING


def _stamp_of(entry: Row) -> tuple[int, int]:
    return entry.size_bytes, entry.mtime_ns
