"""Writes shards: one writer for each shard, one commit at a time.

The order of the steps makes a commit safe. The writer holds the shard's lock. It puts an intent if rows are already
there, writes ``values``, ``valid`` and ``status`` whole, syncs each to disk, and puts the ledger record last. Readers
trust records only, so a process that is killed between two steps leaves the shard as it was, or as not done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import ShardLocked, StoreError
from storage.layout.decoded import DecodedSpec
from storage.ledger import Row, ShardRecord
from storage.shards.direct import WrittenFile
from storage.store import FeatureStore


@contextmanager
def claim(store: FeatureStore, arrays: Sequence[str], shard: int) -> Iterator[None]:
    """Lock a shard of several arrays.

    Args:
        store: open for writing.
        arrays: feature arrays or ``decoded.<name>``.
        shard: its number.

    Raises:
        ShardLocked: If another process holds one of them. None is locked then.
    """
    with ExitStack() as locks:
        for array in sorted(arrays):
            ledger = store.ledger(array)
            locks.enter_context(store.root.lock(ledger.lock_key(shard)))
        yield


def sweep_locks(store: FeatureStore, array: str) -> None:
    """Remove lock files that killed processes left. Locks that are held stay."""
    ledger = store.ledger(array)
    for shard in ledger.locked_shards():
        with suppress(ShardLocked), store.root.lock(ledger.lock_key(shard)):
            pass


def commit_features(
    store: FeatureStore,
    name: str,
    shard: int,
    *,
    values: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    rows: Sequence[Row],
    circumstances: Mapping[str, Any] | None = None,
) -> ShardRecord:
    """Write one whole shard of a feature array and its record. The caller holds the claim.

    Args:
        store: open for writing.
        name: the feature array.
        shard: its number.
        values: ``[rows, steps, dim]``.
        valid: ``[rows, steps]``.
        rows: what happened to each clip.
        circumstances: what the rows were made on, see :class:`storage.ledger.ShardRecord`.

    Returns:
        The new record.

    Raises:
        StoreError: If the shapes are not the shard's.
    """
    span = store.shard_rows(shard)
    spec = store.spec(name)
    expected = (len(span), spec.steps, spec.dim)
    if values.shape != expected or valid.shape != expected[:2] or len(rows) != len(span):
        raise StoreError(f"features/{name} shard {shard}: expected {expected}, got {values.shape} and {len(rows)} rows")
    return commit_rows(
        store, name, shard, make=lambda at: values[at], outcome=lambda: (valid, rows), circumstances=circumstances
    )


def commit_rows(
    store: FeatureStore,
    name: str,
    shard: int,
    *,
    make: Callable[[int], NDArray[Any]],
    outcome: Callable[[], tuple[NDArray[np.bool_], Sequence[Row]]],
    circumstances: Mapping[str, Any] | None = None,
) -> ShardRecord:
    """Write one whole shard, and make its rows while earlier ones are encoded and written.

    Args:
        store: open for writing.
        name: the feature array.
        shard: its number.
        make: gives the row ``[steps, dim]`` at a place in the shard. Several threads call it, once for each row.
        outcome: called when all rows are made; gives ``valid`` ``[rows, steps]`` and what happened to each clip.
        circumstances: as for :func:`commit_features`.
    """
    rows: list[Row] = []

    def write_all() -> Iterator[WrittenFile]:
        yield store.direct(f"features/{name}/values").write_rows(shard, make, threads=store.threads)
        valid, entries = outcome()
        rows.extend(entries)
        status = np.asarray([row.code for row in entries], dtype=np.uint8)
        for part, block in (("valid", valid), ("status", status)):
            yield store.direct(f"features/{name}/{part}").write(shard, block, threads=store.threads)

    return _commit(
        store, name, shard, write_all(), rows, fingerprint=store.fingerprint(name), circumstances=circumstances
    )


def write_decoded(store: FeatureStore, spec: DecodedSpec, row: int, data: NDArray[Any]) -> None:
    """Write the file of one clip of a kept intermediate. Readers see it after :func:`commit_decoded`."""
    store.direct(f"decoded/{spec.name}").write(row, data[None], threads=store.threads)


def commit_decoded(
    store: FeatureStore,
    spec: DecodedSpec,
    shard: int,
    *,
    companions: Mapping[str, NDArray[Any]],
    rows: Sequence[Row],
) -> ShardRecord:
    """Write a shard's companions and the record of a kept intermediate. The caller holds the claim."""
    writes = (
        store.direct(f"decoded/{spec.name}_{key}").write(shard, block, threads=store.threads)
        for key, block in companions.items()
    )
    array = store.direct(f"decoded/{spec.name}")
    written = []
    for row, entry in zip(store.shard_rows(shard), rows, strict=True):
        if entry.stored:
            written.append(array.key(row))
        else:
            store.root.sweep(array.key(row), under_lock=True)
    return _commit(store, spec.ledger_name, shard, writes, rows, fingerprint="", already_written=written)


def _commit(
    store: FeatureStore,
    array_name: str,
    shard: int,
    writes: Iterable[WrittenFile],
    rows: Sequence[Row],
    *,
    fingerprint: str,
    already_written: Sequence[str] = (),
    circumstances: Mapping[str, Any] | None = None,
) -> ShardRecord:
    ledger = store.ledger(array_name)
    store.root.check_lock(ledger.lock_key(shard))
    before = ledger.state(shard)
    commit = before.commit + 1 if before else 1
    if before:
        ledger.announce(shard, commit)
    files = {written.key: written.to_json() for written in writes}
    files |= {key: _measured(store, key) for key in already_written}
    first = store.shard_rows(shard).start
    record = ShardRecord(array_name, shard, first, fingerprint, commit, files, tuple(rows), dict(circumstances or {}))
    store.root.check_lock(ledger.lock_key(shard))
    ledger.append(record)
    store.committed_now(record)
    return record


def _measured(store: FeatureStore, key: str) -> dict[str, int]:
    """Size and crc32 of a file as it lies on the disk."""
    measured = store.root.bytes_and_crc32(key)
    if measured is None:
        raise StoreError(f"{store.url}/{key}: is missing right after it was written. Check the disk, then start again")
    return {"bytes": measured[0], "crc32": measured[1]}
