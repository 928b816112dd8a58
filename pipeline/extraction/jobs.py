"""One shard of a run: claimed, filled row by row, committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.base import Features
from pipeline.decode.clip_buffer import DecodeReport
from pipeline.extraction.plan import ShardTask
from storage.errors import SchemaMismatch, ShardLocked
from storage.layout.decoded import DecodedSpec
from storage.ledger import Row, ShardRecord
from storage.schema import Status
from storage.store import FeatureStore
from storage.writer import claim, commit_decoded, commit_features, write_decoded


class ShardJob:
    """The rows of one shard of all its arrays, in memory until they are committed.

    Rows that a record holds already are kept as they are; the others come once each, in any order. Constructing one
    claims the shard.

    Args:
        store: open for writing.
        task: what to make.
        kept: specs of the intermediates among the task's arrays, by ledger name.
        identities: fingerprint of each feature array, as this run makes it.
        circumstances: of a feature array, as they are at the commit.
        on_row: told of each row that has all its entries, and of these by array.

    Raises:
        ShardLocked: If another process holds it, or has committed it since it was planned.
        SchemaMismatch: If another process has replaced an array with one made otherwise.
    """

    def __init__(
        self,
        store: FeatureStore,
        task: ShardTask,
        *,
        kept: Mapping[str, DecodedSpec],
        identities: Mapping[str, str],
        circumstances: Callable[[str], Mapping[str, Any]] = lambda array: {},
        on_row: Callable[[int, dict[str, Row]], None] = lambda row, entries: None,
    ) -> None:
        self.task = task
        self.span = store.shard_rows(task.shard)
        self._store = store
        self._kept = kept
        self._claim = ExitStack()
        self._claim.enter_context(claim(store, list(task.rows), task.shard))
        self._rows: dict[str, list[Row | None]] = {}
        self._unmade = Counter(row for rows in task.rows.values() for row in rows)
        self._on_row = on_row
        self._values: dict[str, NDArray[np.floating[Any]]] = {}
        self._valid: dict[str, NDArray[np.bool_]] = {}
        self._companions: dict[str, dict[str, NDArray[Any]]] = {}
        self._identities = identities
        self._circumstances = circumstances
        try:
            for array in task.rows:
                self._check_unchanged(array)
                self._check_unclaimed(array)
                self._prepare(array, self._known(array))
        except BaseException:
            self.release()
            raise

    def _check_unclaimed(self, array: str) -> None:
        """Another process may have committed the shard between our plan and our claim: then the plan is stale."""
        state = self._store.ledger(array).state(self.task.shard)
        if (state.commit if state else 0) != self.task.commits.get(array, 0):
            raise ShardLocked(f"{self._store.url}: shard {self.task.shard} of {array} was committed by another process")

    def _known(self, array: str) -> ShardRecord | None:
        commit = self.task.commits.get(array)
        return self._store.ledger(array).read(self.task.shard, commit) if commit else None

    def _prepare(self, array: str, known: ShardRecord | None) -> None:
        there = [*known.rows] if known else []
        self._rows[array] = [*there, *[None] * (len(self.span) - len(there))]
        if array in self._kept:
            spec = self._kept[array]
            self._companions[array] = {key: self._store.kept(spec.name, self.span, key) for key in spec.companions}
            return
        made = self._store.spec(array)
        shape = (len(self.span), made.steps, made.dim)
        self._values[array] = np.full(shape, np.nan, dtype=made.dtype)
        self._valid[array] = np.zeros(shape[:2], dtype=bool)
        if there:
            rows = slice(self.span.start, self.span.start + len(there))
            self._values[array][: len(there)] = self._store.read(array, rows)
            self._valid[array][: len(there)] = self._store.valid(array, rows)

    def clip_id(self, row: int) -> str:
        """The id of one of its clips."""
        return self._store.ids[row]

    def wants(self, array: str, row: int) -> bool:
        """Whether this array's row is to be made."""
        return row in self.task.rows.get(array, frozenset())

    def put(self, array: str, row: int, features: Features | None, entry: Row) -> None:
        """Set one row of a feature array; ``None`` for a clip that has none."""
        if not self.wants(array, row):
            return
        at = row - self.span.start
        if features is not None and (wrong := self._overflow(array, features)):
            features, entry = None, replace(entry, status=Status.EXTRACTOR_ERROR.label, reason=f"{array}: {wrong}")
        self._values[array][at] = np.nan if features is None else features.values
        self._valid[array][at] = False if features is None else features.valid
        self._set_entry(array, at, replace(entry, stored=features is not None and bool(features.valid.any())))

    def _overflow(self, array: str, features: Features) -> str:
        """Why the values do not fit the stored dtype; empty where they do."""
        largest = np.finfo(self._values[array].dtype).max
        if self._values[array].dtype == features.values.dtype:
            return ""
        found = float(np.nanmax(np.abs(features.values), initial=0.0))
        if found <= largest:
            return ""
        return f"{found:.4g} is more than {self._values[array].dtype} holds ({largest:.0f}). Add --store-dtype float32"

    def keep(self, array: str, row: int, data: NDArray[Any] | None, companions: Mapping[str, Any], entry: Row) -> None:
        """Write one clip of a kept intermediate; ``None`` for a clip that has none."""
        if not self.wants(array, row):
            return
        at = row - self.span.start
        if data is not None:
            write_decoded(self._store, self._kept[array], row, data)
        for key, block in self._companions[array].items():
            block[at] = companions[key] if data is not None else 0
        self._set_entry(array, at, replace(entry, stored=data is not None))

    def _set_entry(self, array: str, at: int, entry: Row) -> None:
        before = self._rows[array][at]
        self._rows[array][at] = replace(entry, attempt=1 if before is None else before.attempt + 1)
        row = at + self.span.start
        self._unmade[row] -= 1
        if not self._unmade[row]:
            del self._unmade[row]
            self._on_row(row, self.entries(row))

    @property
    def complete(self) -> bool:
        """Whether every row that the task names has its entry in every array."""
        return not self._unmade

    def entries(self, row: int) -> dict[str, Row]:
        """What is known of one clip, by array."""
        at = row - self.span.start
        return {array: entry for array, rows in self._rows.items() if (entry := rows[at]) is not None}

    def commit(self) -> None:
        """Write every array of the shard and release it. Runs in the writer's thread."""
        try:
            for array in self.task.rows:
                rows = [entry for entry in self._rows[array] if entry is not None]
                if array in self._kept:
                    commit_decoded(
                        self._store, self._kept[array], self.task.shard, companions=self._companions[array], rows=rows
                    )
                else:
                    commit_features(
                        self._store,
                        array,
                        self.task.shard,
                        values=self._values[array],
                        valid=self._valid[array],
                        rows=rows,
                        circumstances=self._circumstances(array),
                    )
        finally:
            self.release()

    def _check_unchanged(self, array: str) -> None:
        """Nobody replaces an array of which a shard is claimed, so this holds until the commit."""
        if array not in self._kept and self._store.fingerprint(array) != self._identities[array]:
            raise SchemaMismatch(
                f"{self._store.url}: features/{array} was replaced by another process while this one ran. "
                "Run one of them at a time"
            )

    def release(self) -> None:
        """Let others have the shard."""
        self._claim.close()


def row_of(clip_id: str, report: DecodeReport, *, status: Status | None = None, reason: str | None = None) -> Row:
    """A ledger row from what the decoder says; ``status`` and ``reason`` override it."""
    return Row(
        id=clip_id,
        status=(report.status if status is None else status).label,
        reason=report.reason if reason is None else reason,
        seconds=round(report.seconds, 3),
        decoder=report.decoder,
        clip_fingerprint=report.fingerprint,
        size_bytes=report.size_bytes,
        mtime_ns=report.mtime_ns,
    )
