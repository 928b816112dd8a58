"""Plans what is left to do, from the store's ledger and the clips' files alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.extraction.file_stamps import FileStamps
from storage.clips import Clip
from storage.ledger_summary import LedgerSummary, SummaryRows
from storage.schema import Status
from storage.store import FeatureStore


@dataclass(frozen=True)
class ShardTask:
    """One shard's work.

    Attributes:
        shard: its number.
        rows: for each array (or ``decoded.<name>``), the rows to make; rows it has already are kept.
        commits: for each of these arrays that has a record, the record's number.
    """

    shard: int
    rows: Mapping[str, Collection[int]]
    commits: Mapping[str, int] = field(default_factory=dict)

    @property
    def clips(self) -> Sequence[int]:
        """Rows that some array needs, in order."""
        first, *others = self.rows.values()
        if isinstance(first, range) and all(rows == first for rows in others):
            return first
        return sorted({row for rows in self.rows.values() for row in rows})


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
    shards: Collection[int] | None = None,
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
    summaries = {array: store.summary(array, shards=shards) for array in arrays}
    chosen = range(store.shards) if shards is None else list(shards)
    spans = [store.shard_rows(shard) for shard in chosen]
    rows = np.concatenate([np.arange(span.start, span.stop) for span in spans]) if spans else np.arange(0)
    known = {array: summary.rows(rows) for array, summary in summaries.items()}
    changed = _changed_rows(store, known, clips, rows, fingerprint_of)
    redo = {
        array: _rows_to_redo(store, summaries[array], found, rows, changed, retry_failed=retry_failed)
        for array, found in known.items()
    }
    tasks = [task for shard in chosen if (task := _task(store, shard, summaries, redo)) is not None]
    return Plan(tuple(tasks), tuple(clips[row].id for row in changed))


def _task(
    store: FeatureStore,
    shard: int,
    summaries: Mapping[str, LedgerSummary],
    redo: Mapping[str, Mapping[int, frozenset[int]]],
) -> ShardTask | None:
    rows: dict[str, Collection[int]] = {}
    commits: dict[str, int] = {}
    for array, summary in summaries.items():
        commit = int(summary.commits[shard])
        if not commit:
            rows[array] = store.shard_rows(shard)
        elif shard in redo[array]:
            rows[array], commits[array] = redo[array][shard], commit
    return ShardTask(shard, rows, commits) if rows else None


def _rows_to_redo(
    store: FeatureStore,
    summary: LedgerSummary,
    found: SummaryRows,
    rows: NDArray[np.intp],
    changed: Sequence[int],
    *,
    retry_failed: bool,
) -> dict[int, frozenset[int]]:
    """By shard, the rows of committed shards that are to be made again, or were never made."""
    shards = rows // store.info.shard_size
    redone = ~found.stored if retry_failed else ~found.stored & np.isin(shards, list(summary.interrupted))
    pending = found.status == Status.PENDING  # marked by avvp verify --repair, or new in a store that has grown
    wanted = (pending | redone | np.isin(rows, changed)) & (summary.commits[shards] > 0)
    by_shard: dict[int, list[int]] = {}
    for row in rows[wanted].tolist():
        by_shard.setdefault(row // store.info.shard_size, []).append(row)
    return {shard: frozenset(some) for shard, some in by_shard.items()}


def _changed_rows(
    store: FeatureStore,
    known: Mapping[str, SummaryRows],
    clips: Sequence[Clip],
    rows: NDArray[np.intp],
    fingerprint_of: Fingerprinter,
) -> list[int]:
    """Rows whose file differs from the one that any array was made from; a file that has gone is no change."""
    comparable = np.zeros(len(rows), dtype=bool)
    for found in known.values():
        comparable |= found.comparable
    at = np.flatnonzero(comparable)
    stamps = FileStamps.of([clips[row].path for row in rows[at].tolist()])
    doubtful: dict[int, list[str]] = {}
    for array, found in known.items():
        differs = found.comparable[at] & stamps.differ(sizes=found.sizes[at], mtimes=found.mtimes[at])
        for row in rows[at[differs]].tolist():
            doubtful.setdefault(row, []).append(array)
    return [row for row in sorted(doubtful) if _is_changed(store, row, doubtful[row], fingerprint_of(clips[row]))]


def _is_changed(store: FeatureStore, row: int, arrays: Sequence[str], now: str) -> bool:
    shard = row // store.info.shard_size
    records = [store.ledger(array).newest_of(shard) for array in arrays]
    entries = [record.entry(row) for record in records if record is not None]
    return any(entry.clip_fingerprint != now for entry in entries if entry is not None)
