"""The ledger: one immutable record for each commit of a shard, and what it says about each clip.

A record is a file ``ledger/<array>/<shard>.<commit>.json``. The highest commit of a shard counts. A file
``<shard>.<commit>.intent`` without a record beside it means that a commit over existing rows was cut off. The rows
that the last record calls stored are still there, whichever version of the shard file survived.

Icechunk was looked at and cannot serve: docs/store.md says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from storage.errors import StoreError
from storage.files.checked_json import pack, unpack
from storage.files.root import Root
from storage.schema import Status

_RECORD = re.compile(r"(\d{5})\.(\d{4})\.(json|intent)")


@dataclass(frozen=True)
class Row:
    """What happened to one clip in one array.

    Attributes:
        id: the clip's id.
        status: how it ended.
        reason: in words, for people; empty for a plain ``ok``.
        stored: whether the row holds at least one valid step.
        seconds: spent on decoding it.
        attempt: 1 for the first try.
        decoder: name and version of what read it.
        clip_fingerprint: content address of the clip: its bytes and span.
        size_bytes: of the media file, with ``mtime_ns`` to see cheaply that it has not changed.
        mtime_ns: of the media file.
    """

    id: str
    status: str
    reason: str = ""
    stored: bool = False
    seconds: float = 0.0
    attempt: int = 1
    decoder: str = ""
    clip_fingerprint: str = ""
    size_bytes: int = 0
    mtime_ns: int = 0

    @property
    def failed(self) -> bool:
        """Whether the clip has no features here."""
        return not self.stored

    @property
    def code(self) -> Status:
        """The status as a number."""
        return Status.from_label(self.status)


@dataclass(frozen=True)
class ShardRecord:
    """One commit of one shard of one array.

    Attributes:
        array: the feature array (or ``decoded.frames`` and the like).
        shard: its number.
        first_clip: row of its first clip.
        fingerprint: content address of the backbone: spec, weights, sampling.
        commit: 1 for the first.
        files: for each file written, its bytes and crc32.
        rows: one for each clip, in order.
        circumstances: what the rows of this commit were made on: device, driver, batch and the like. For the record;
            part of no fingerprint.
    """

    array: str
    shard: int
    first_clip: int
    fingerprint: str
    commit: int
    files: Mapping[str, Mapping[str, int]]
    rows: tuple[Row, ...] = field(default_factory=tuple)
    circumstances: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """JSON with a checksum of itself."""
        body = {**vars(self), "files": dict(self.files), "rows": [vars(row) for row in self.rows]}
        if not body.pop("circumstances"):  # as records were before there were any
            return pack(body)
        return pack({**body, "circumstances": dict(self.circumstances)})

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises:
            StoreError: If the record is damaged.
        """
        body = unpack(data, where=where)
        try:
            return cls(**{**body, "rows": tuple(Row(**row) for row in body["rows"])})
        except (KeyError, TypeError) as problem:
            raise StoreError(f"{where}: not a ledger record ({problem}). Run: avvp verify") from problem


@dataclass(frozen=True)
class ShardState:
    """The commits of one shard: the newest record's number and whether a newer commit was cut off."""

    commit: int
    interrupted: bool


class Ledger:
    """The records of one array.

    Args:
        root: the store's folder.
        array: the array's name.
    """

    def __init__(self, root: Root, array: str) -> None:
        self._root = root
        self.array = array
        self.folder = f"ledger/{array}"

    def key(self, shard: int, commit: int, kind: str = "json") -> str:
        """The key of a record or an intent."""
        return f"{self.folder}/{shard:05d}.{commit:04d}.{kind}"

    def states(self) -> dict[int, ShardState]:
        """The state of every shard that has a record. Costs one listing of the folder."""
        records: dict[int, int] = {}
        intents: dict[int, int] = {}
        for name in self._root.names(self.folder):
            if match := _RECORD.fullmatch(name):
                shard, commit = int(match[1]), int(match[2])
                target = records if match[3] == "json" else intents
                target[shard] = max(commit, target.get(shard, 0))
        return {
            shard: ShardState(commit, interrupted=intents.get(shard, 0) > commit) for shard, commit in records.items()
        }

    def read(self, shard: int, commit: int) -> ShardRecord:
        """One record.

        Raises:
            StoreError: If it is absent or damaged.
        """
        key = self.key(shard, commit)
        data = self._root.read(key)
        if data is None:
            raise StoreError(f"{self._root.url}/{key}: the ledger record is missing. Run the extraction again")
        return ShardRecord.from_bytes(data, where=f"{self._root.url}/{key}")

    def newest(self) -> dict[int, ShardRecord]:
        """The newest record of every committed shard, in order."""
        return {shard: self.read(shard, state.commit) for shard, state in sorted(self.states().items())}

    def announce(self, shard: int, commit: int) -> None:
        """Put an intent: committed rows are about to be overwritten."""
        self._root.put(self.key(shard, commit, "intent"), b"")

    def append(self, record: ShardRecord) -> None:
        """Put a record. From then on readers see the shard."""
        self._root.put_new(self.key(record.shard, record.commit), record.to_bytes())
        self._root.remove(self.key(record.shard, record.commit, "intent"))

    def lock_key(self, shard: int) -> str:
        """The key of a shard's lock."""
        return f"{self.folder}/{shard:05d}.lock"
