"""Imports the rows of a shard that are new or changed, and keeps the others: what every importer does with a shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.extraction.provenance import now
from storage.errors import ShardLocked, StoreError
from storage.ledger import Row, ShardRecord
from storage.schema import Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_rows


@dataclass(frozen=True)
class ImportedShard:
    """What became of a shard.

    Attributes:
        rows: of its ledger.
        kept: rows that were as they are now.
        stored: rows that were read now and have values.
    """

    rows: Sequence[Row]
    kept: int
    stored: int


def import_shard(
    store: FeatureStore, name: str, shard: int, *, unchanged: Callable[[int, Row | None], bool],
    load: Callable[[int, Row | None], tuple[NDArray[Any], Row]],
) -> ImportedShard:  # fmt: skip
    """Read what is new or changed of a shard and commit it; nothing is written where all is as it was.

    Args:
        store: open for writing.
        name: of the array.
        shard: its number.
        unchanged: whether a clip's ledger row is still true of its source; clips are counted within the shard.
        load: from a clip and its ledger row to its values ``[steps, dim]`` and its new row.

    Raises:
        ShardLocked: If another process has just written the shard.
        StoreError: If the rows to keep are not those that were committed.
    """
    span, spec = store.shard_rows(shard), store.spec(name)
    known = store.ledger(name).newest_of(shard)
    rows = known.rows if known else ()
    before: list[Row | None] = [*rows, *[None] * (len(span) - len(rows))]
    todo = {at for at, entry in enumerate(before) if not unchanged(at, entry)}
    kept = len(span) - len(todo)
    if not todo:
        return ImportedShard(known.rows if known else (), kept, 0)
    if known and kept:
        _check_kept(store, name, known)
    entries = list(before)

    def make(at: int) -> NDArray[Any]:
        if at not in todo:
            values: NDArray[Any] = store.read(name, [span[at]])[0]
            return values
        values, entries[at] = load(at, before[at])
        return values

    def outcome() -> tuple[NDArray[np.bool_], list[Row]]:
        rows = [entry for entry in entries if entry is not None]
        return np.repeat([[row.stored] for row in rows], spec.steps, axis=1), rows

    with claim(store, [name], shard):
        state = store.ledger(name).state(shard)
        if (state.commit if state else 0) != (known.commit if known else 0):
            raise ShardLocked(f"{store.url}: shard {shard} of {name} was just written by another process")
        record = commit_rows(store, name, shard, make=make, outcome=outcome)
    return ImportedShard(record.rows, kept, sum(record.rows[at].stored for at in todo))


def _check_kept(store: FeatureStore, name: str, known: ShardRecord) -> None:
    """Look before the commit begins: from then on readers take what lies there, the old rows or the new ones."""
    values = store.direct(f"features/{name}/values")
    key = values.key(known.shard)
    if values.is_another(known.shard, known.files.get(key, {})):
        raise StoreError(
            f"{store.url}/{key}: is not what was committed here. Run: avvp verify --repair, then import again"
        )


def imported_provenance(array: str, files: str, folder: Path) -> Provenance:
    """Provenance of an array of published features.

    Args:
        array: its name.
        files: where in the folder its values are.
        folder: that was imported.
    """
    return Provenance(
        backbone=array, code_version="imported", weights="unknown", preprocessing={"files": files},
        sampling="published", source="imported", weights_source=f"imported from {folder.absolute()}", created=now(),
    )  # fmt: skip
