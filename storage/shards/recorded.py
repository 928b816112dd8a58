"""What the ledger records of a written file, by which readers tell that it is the committed one.

A chunk's own crc32c says that its bytes were not changed, and nothing of where they belong: two shards of one size that
were exchanged would be read without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from storage.files.root import ByteSource, crc32_of
from storage.shards.codec import CHECKSUM_BYTES

EMPTY = np.uint64(2**64 - 1)
"""In a shard's index: this chunk was never written."""
_LOOKED_AT = 3
"""Rows by which a file is told from another: those whose checksums are rarest in it, since failed rows are alike."""

Recorded: TypeAlias = Callable[[int], Mapping[str, Any] | None]
"""From a file's number to what the ledger says of it; ``None`` where it says nothing."""


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written.

    Attributes:
        key: in the store.
        size: in bytes.
        crc32: of its bytes.
        rows: of a shard: the crc32c of each row's chunk, 8 hexadecimal digits each.
    """

    key: str
    size: int
    crc32: int
    rows: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the ledger records it."""
        return {"bytes": self.size, "crc32": self.crc32} | ({"rows": self.rows} if self.rows else {})


class Measured:
    """Counts bytes on their way to a file."""

    def __init__(self) -> None:
        self.size = 0
        self.crc32 = 0

    def passing(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The same parts, counted."""
        for part in parts:
            self.size += len(part)
            self.crc32 = crc32_of(part, self.crc32)
            yield part


def row_digest(entry: Mapping[str, Any], at: int) -> bytes:
    """The crc32c of a row's chunk as the ledger has it; empty where the record is of an earlier release.

    Args:
        entry: what the ledger says of the row's file.
        at: place of the row in the shard.
    """
    return bytes.fromhex(str(entry.get("rows", ""))[2 * CHECKSUM_BYTES * at : 2 * CHECKSUM_BYTES * (at + 1)])


def is_another(source: ByteSource, index: NDArray[np.uint64], entry: Mapping[str, Any], *, rows: int) -> bool:
    """Whether a shard is not the one that was committed. Reads the checksums of three rows.

    Args:
        source: the shard.
        index: of it.
        entry: what the ledger says of it.
        rows: how many it holds.

    Raises:
        StoreError: If it ends too early.
    """
    digests = [row_digest(entry, at) for at in range(rows)]
    often = Counter(digests)
    for at in sorted(range(rows), key=lambda at: often[digests[at]])[:_LOOKED_AT]:
        offset, size = index[at]
        if not digests[at]:
            continue
        if offset == EMPTY or size < CHECKSUM_BYTES:
            return True
        if source.read(int(offset) + int(size) - CHECKSUM_BYTES, CHECKSUM_BYTES) != digests[at]:
            return True
    return False
