"""Status of a store as plain data: arrays, progress, failures by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.inspection.circumstances import MadeOn, made_on
from storage.ledger import Row
from storage.store import FeatureStore
from storage.text import kind_of_reason

_EXAMPLES = 3
_CUT_WORDS = " s were used"
"""The decoder's note on a clip that is longer than the store's clips: source is 12.0 s; the first 10 s were used."""


@dataclass
class FailureGroup:
    """Clips that failed in the same way.

    Attributes:
        status: ``missing``, ``decode_error`` …
        reason: in words, shared by the group.
        count: how many clips.
        examples: some of their ids.
    """

    status: str
    reason: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class ArrayOverview:
    """One feature array, or one kept intermediate.

    Attributes:
        name: as in the store.
        shape: of the whole array.
        committed: clips in committed shards.
        stored: clips with features.
        statuses: clips by status.
        failures: clips without features, grouped by reason, largest first.
        weights: from the provenance; empty for intermediates.
        sampling: from the provenance.
        bytes_on_disk: of the array's files.
        cut: clips that are longer than the store's clips, of which the beginning was used.
        made_on: how many shards were made on which circumstances.
    """

    name: str
    shape: tuple[int, ...]
    committed: int = 0
    stored: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    failures: list[FailureGroup] = field(default_factory=list)
    weights: str = ""
    sampling: str = ""
    bytes_on_disk: int = 0
    cut: int = 0
    made_on: list[MadeOn] = field(default_factory=list)


@dataclass
class StoreOverview:
    """A whole store.

    Attributes:
        store: its address.
        dataset: its name.
        clips: rows.
        clip_seconds: length of a clip.
        shards: shards of each array.
        arrays: feature arrays by name.
        decoded: kept intermediates by name.
    """

    store: str
    dataset: str
    clips: int
    clip_seconds: int
    shards: int
    arrays: dict[str, ArrayOverview] = field(default_factory=dict)
    decoded: dict[str, ArrayOverview] = field(default_factory=dict)

    @property
    def failed_clips(self) -> int:
        """Clips that lack features in the array where most failed."""
        return max((array.committed - array.stored for array in self.arrays.values()), default=0)

    @property
    def cut_clips(self) -> int:
        """Clips of which only the beginning was used, in the array that has most of them."""
        return max((array.cut for array in (*self.arrays.values(), *self.decoded.values())), default=0)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def overview(store: FeatureStore) -> StoreOverview:
    """Read a store's ledger and attributes; no feature is read."""
    info = store.info
    out = StoreOverview(store.url, info.dataset, info.clips, info.clip_seconds, store.shards)
    for name in store.features:
        spec, origin = store.spec(name), store.provenance(name)
        array = ArrayOverview(
            name, (info.clips, spec.steps, spec.dim), weights=origin.weights, sampling=origin.sampling
        )
        out.arrays[name] = _filled(store, array, ledger_name=name, folder=f"features/{name}")
    for name in store.decoded:
        kept = store.decoded_spec(name)
        array = ArrayOverview(name, (info.clips, *kept.shape), sampling=str(kept.facts.get("sampling", "")))
        out.decoded[name] = _filled(store, array, ledger_name=kept.ledger_name, folder=f"decoded/{name}")
    return out


def _filled(store: FeatureStore, array: ArrayOverview, *, ledger_name: str, folder: str) -> ArrayOverview:
    records = store.ledger(ledger_name).newest().values()
    rows = [row for record in records for row in record.rows]
    array.committed = len(rows)
    array.stored = sum(row.stored for row in rows)
    array.cut = sum(row.stored and was_cut(row) for row in rows)
    array.statuses = dict(Counter(row.status for row in rows).most_common())
    array.failures = group_failures(rows)
    array.made_on = made_on(records)
    array.bytes_on_disk = store.root.tree_bytes(folder)
    return array


def was_cut(row: Row) -> bool:
    """Whether only the beginning of a clip was used, as the decoder notes it in the row's reason."""
    return _CUT_WORDS in row.reason


def group_failures(rows: Iterable[Row]) -> list[FailureGroup]:
    """Group the rows without features by status and reason, largest group first; numbers may differ within a group."""
    groups: dict[tuple[str, str], FailureGroup] = {}
    for row in rows:
        if row.failed:
            kind = kind_of_reason(row.reason)
            group = groups.setdefault((row.status, kind), FailureGroup(row.status, row.reason))
            if row.reason != group.reason:
                group.reason = kind
            group.count += 1
            if len(group.examples) < _EXAMPLES:
                group.examples.append(row.id)
    return sorted(groups.values(), key=lambda group: (-group.count, group.status, group.reason))
