"""Status of a store as plain data: arrays, progress, failures by reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.inspection.circumstances import MadeOn, made_on
from storage.ledger_summary import WORTH_SAVING, Kind
from storage.schema import Status
from storage.store import FeatureStore

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
        bytes_on_disk: of the array's committed files.
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
    """Read a store's ledger, in short where it was summarised before, and its attributes; no feature is read."""
    info = store.info
    out = StoreOverview(store.url, info.dataset, info.clips, info.clip_seconds, store.shards)
    for name in store.features:
        spec, origin = store.spec(name), store.provenance(name)
        array = ArrayOverview(
            name, (info.clips, spec.steps, spec.dim), weights=origin.weights, sampling=origin.sampling
        )
        out.arrays[name] = _filled(store, array, ledger_name=name)
    for name in store.decoded:
        kept = store.decoded_spec(name)
        array = ArrayOverview(name, (info.clips, *kept.shape), sampling=str(kept.facts.get("sampling", "")))
        out.decoded[name] = _filled(store, array, ledger_name=kept.ledger_name)
    return out


def _filled(store: FeatureStore, array: ArrayOverview, *, ledger_name: str) -> ArrayOverview:
    summary = store.summary(ledger_name)
    summary.save(least=WORTH_SAVING)
    rows, kinds = summary.rows(), summary.kinds
    array.committed = int(summary.recorded.sum())
    array.stored = int(rows.stored.sum())
    counts = np.bincount(rows.status, minlength=len(Status))
    counts[Status.PENDING] -= store.info.clips - array.committed
    array.cut = sum(kind.count for kind in kinds if kind.stored and is_cut(kind.reason))
    found = {status.label: int(counts[status]) for status in Status if counts[status]}
    array.statuses = dict(sorted(found.items(), key=lambda one: -one[1]))
    array.failures = failure_groups(kinds)
    array.made_on = made_on(summary)
    array.bytes_on_disk = summary.bytes_on_disk
    return array


def is_cut(reason: str) -> bool:
    """Whether only the beginning of a clip was used, as the decoder notes it in the row's reason."""
    return _CUT_WORDS in reason


def failure_groups(kinds: Iterable[Kind]) -> list[FailureGroup]:
    """The kinds without features, largest group first; numbers may differ within a group."""
    groups = [FailureGroup(kind.status, kind.reason, kind.count, kind.examples) for kind in kinds if not kind.stored]
    return sorted(groups, key=lambda group: (-group.count, group.status, group.reason))
