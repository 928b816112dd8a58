"""Verifies that whole shards have their records: without one, readers take the rows for not done."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass

from pipeline.exchange.verify_report import Looked, Problem
from storage.errors import StoreError
from storage.layout.arrays import GROUPS
from storage.shards.direct import DirectArray
from storage.store import FeatureStore

_CAUSE = (
    "the rows lie there whole, and their record is missing: readers take them for not done. Run the extraction again"
)


@dataclass(frozen=True)
class _Files:
    """An array's files that a shard has one of each.

    Attributes:
        where: for messages.
        ledger: name of the array in the ledger.
        arrays: that are written last, in their order.
    """

    where: str
    ledger: str
    arrays: tuple[DirectArray, ...]


def check_records(looked: Looked, store: FeatureStore, *, unreadable: Set[str]) -> None:
    """Say which shards are whole and have no record.

    A kill between the last file and the record leaves the same files, and a lock beside them; so does a run at work.

    Args:
        looked: where every file that something vouches for is known by now.
        store: to look at.
        unreadable: arrays whose metadata must be put back first.
    """
    left = set(looked.sizes) - looked.known
    for files in _arrays(store, unreadable):
        locks = {key for key in looked.sizes if key.startswith(f"ledger/{files.ledger}/") and ".lock" in key}
        for shard in range(store.shards):
            keys = [array.key(shard) for array in files.arrays]
            lock = store.ledger(files.ledger).lock_key(shard)
            if keys and left.issuperset(keys) and not any(key.startswith(lock) for key in locks):
                looked.known.update(keys)
                looked.say(Problem(files.where, store.ledger(files.ledger).key(shard, 1), _CAUSE, shard=shard))


def _arrays(store: FeatureStore, unreadable: Set[str]) -> Iterator[_Files]:
    names = {group: [name for name in store.root.names(group) if name != "zarr.json"] for group in GROUPS}
    ledgers = [(f"features/{name}", name) for name in names["features"]]
    ledgers += [(f"decoded/{name}", f"decoded.{name}") for name in names["decoded"]]
    for where, ledger in ledgers:
        with suppress(StoreError):  # of damaged metadata, which is told elsewhere
            if ledger not in unreadable and store.attributes(where):
                yield _Files(where, ledger, tuple(store.direct(path) for path in _parts(store, where)))


def _parts(store: FeatureStore, where: str) -> list[str]:
    group, _, name = where.partition("/")
    if group == "features":
        return [f"{where}/{part}" for part in ("values", "valid", "status")]
    return [f"{where}_{key}" for key in store.decoded_spec(name).companions]
