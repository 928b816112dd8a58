"""Verifies a feature array chunk by chunk: readable, the committed one, finite, not all zero, not another clip's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xxhash
from numpy.typing import NDArray

from storage.errors import StoreError
from storage.files.root import ByteSource
from storage.ledger import Row, ShardRecord
from storage.shards.direct import DirectArray, read_index
from storage.shards.recorded import row_digest
from storage.store import FeatureStore


class ValueCheck:
    """Goes through the shards of one array; remembers every row to find duplicates.

    Args:
        store: that holds it.
        name: of the feature array.
    """

    def __init__(self, store: FeatureStore, name: str) -> None:
        self._store = store
        self._name = name
        self._first: dict[bytes, Row] = {}

    def check(self, record: ShardRecord) -> Iterator[tuple[int | None, str]]:
        """What is wrong with a shard: the row, or ``None`` for the shard as a whole, and the cause in words."""
        array = self._store.direct(f"features/{self._name}/values")
        key = array.key(record.shard)
        source = self._store.root.source(key)
        if source is None:
            return
        with source:
            try:
                index = read_index(source, array.rows_per_file, where=key)
            except StoreError as problem:
                yield None, str(problem)
                return
            written = record.files.get(key, {})
            for at, entry in enumerate(record.rows):
                row = record.first_clip + at
                cause = self._check_row(array, source, index[at], row, entry, digest=row_digest(written, at))
                if cause:
                    yield row, cause

    def _check_row(
        self, array: DirectArray, source: ByteSource, place: NDArray[np.uint64], row: int, entry: Row, *, digest: bytes
    ) -> str:
        offset, size = (int(number) for number in place)
        if place[0] == np.uint64(2**64 - 1):
            return "was never written" if entry.stored else ""
        block = np.empty(array.shape[1:], dtype=array.dtype)
        try:
            data = source.read(offset, size)
            array.codec.decode(data, block)
        except StoreError as problem:
            return f"bytes {offset} to {offset + size}: {problem}"
        if digest and data[-len(digest) :] != digest:
            return "is a whole row, but not the one that was written here"
        if not entry.stored:
            return "" if np.isnan(block).all() else f"holds numbers, but the ledger says {entry.status}"
        valid = self._store.direct(f"features/{self._name}/valid").rows(row, row + 1)[0]
        steps = block[valid]
        if not np.isfinite(steps).all():
            return f"{int((~np.isfinite(steps)).sum())} values of its valid steps are not finite"
        if not steps.any():
            return "all values are zero"
        return self._duplicate(steps, entry)

    def _duplicate(self, steps: NDArray[np.float32], entry: Row) -> str:
        first = self._first.setdefault(xxhash.xxh3_128_digest(steps.tobytes()), entry)
        if first is entry or first.clip_fingerprint == entry.clip_fingerprint != "":
            return ""  # the same media under two ids
        return f"equals the row of {first.id!r}, whose media is another file"
