"""Lists a store's clips without features, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.inspection.status import StoreOverview
from storage.ledger import Row
from storage.store import FeatureStore


@dataclass
class FailedClip:
    """A clip that lacks rows, and why.

    Attributes:
        id: of the clip.
        status: ``missing``, ``decode_error`` …
        reason: in words.
        arrays: those it failed in for this reason; ``decoded/…`` for kept intermediates.
    """

    id: str
    status: str
    reason: str
    arrays: list[str] = field(default_factory=list)


def failed_clips(store: FeatureStore, found: StoreOverview, *, most: int) -> list[FailedClip]:
    """The clips that failed in some array: those of the first array in row order, then those of the others only.

    Records are read as far as there are failures to find, and no further.

    Args:
        store: the store.
        found: its overview, which says how many there are.
        most: entries at most.
    """
    clips: dict[tuple[str, str, str], FailedClip] = {}
    ledgers = {name: name for name in found.arrays}
    ledgers |= {f"decoded/{name}": store.decoded_spec(name).ledger_name for name in found.decoded}
    arrays = {**found.arrays, **{f"decoded/{name}": array for name, array in found.decoded.items()}}
    for name, array in arrays.items():
        for row in _failed_rows(store, ledgers[name], array.committed - array.stored):
            key = row.id, row.status, row.reason
            if key in clips:
                clips[key].arrays.append(name)
            elif len(clips) < most:
                clips[key] = FailedClip(*key, [name])
    return list(clips.values())


def _failed_rows(store: FeatureStore, ledger_name: str, count: int) -> Iterator[Row]:
    """So many rows without features, in row order."""
    if not count:
        return
    for record in store.ledger(ledger_name).records():
        for row in record.rows:
            if row.failed:
                yield row
                count -= 1
        if count <= 0:
            return
