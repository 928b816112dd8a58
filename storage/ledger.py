"""The ledger: one immutable record for each commit of a shard, and what it says about each clip.

A record is a file ``ledger/<array>/<shard>.<commit>.json``. The highest commit of a shard counts; numbers have five and
four digits, or more where they need them. A file
``<shard>.<commit>.intent`` without a record beside it means that a commit over existing rows was cut off. The rows
that the last record calls stored are still there, whichever version of the shard file survived.

Icechunk was looked at and cannot serve: docs/store.md says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from storage.errors import StoreError
from storage.files.checked_json import pack, unpack
from storage.files.root import Root
from storage.schema import Status

_RECORD = re.compile(r"(\d{5,})\.(\d{4,})\.(json|intent)")
_LOCK = re.compile(r"(\d{5,})\.lock(\.\d+)?")


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

    def entry(self, row: int) -> Row | None:
        """What it says of a row of the store; ``None`` for one that is not of it, or that was appended since."""
        at = row - self.first_clip
        return self.rows[at] if 0 <= at < len(self.rows) else None

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
    """The commits of one shard.

    Attributes:
        commit: number of the newest record.
        interrupted: whether a newer commit was cut off.
        version: a number that is another one when the record's file is; 0 where the file was not listed.
    """

    commit: int
    interrupted: bool
    version: int = 0


def record_of(name: str) -> tuple[int, int, str] | None:
    """Shard, commit and kind (``json`` or ``intent``) of a file in a ledger folder; ``None`` for other files."""
    match = _RECORD.fullmatch(name)
    return (int(match[1]), int(match[2]), match[3]) if match else None


def shard_of_lock(name: str) -> int | None:
    """The shard of a lock file, or of a lease, in a ledger folder; ``None`` for other files."""
    match = _LOCK.fullmatch(name)
    return int(match[1]) if match else None


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
        self._known: dict[int, ShardState] | None = None

    def key(self, shard: int, commit: int, kind: str = "json") -> str:
        """The key of a record or an intent."""
        return f"{self.folder}/{shard:05d}.{commit:04d}.{kind}"

    def states(self) -> dict[int, ShardState]:
        """The state of every shard that has a record. Costs one listing of the folder."""
        records: dict[int, tuple[int, int]] = {}
        intents: dict[int, int] = {}
        for name, version in self._root.versions(self.folder).items():
            if found := record_of(name):
                shard, commit, kind = found
                if kind == "json":
                    records[shard] = max((commit, version), records.get(shard, (0, 0)))
                else:
                    intents[shard] = max(commit, intents.get(shard, 0))
        self._known = {
            shard: ShardState(commit, intents.get(shard, 0) > commit, version)
            for shard, (commit, version) in records.items()
        }
        return dict(self._known)

    def state(self, shard: int) -> ShardState | None:
        """The state of one shard, or ``None`` if it has no record.

        Asks for the commits that follow the one known from the last listing, so that it costs the same in a ledger of
        ten shards and of ten thousand. The first call lists the folder.
        """
        seen = self._known if self._known is not None else self.states()
        known = seen.get(shard)
        commit = known.commit if known else 0
        if known and self._root.size(self.key(shard, commit)) is None:  # dropped, as avvp verify --repair does
            return self.states().get(shard)
        while self._root.size(self.key(shard, commit + 1)) is not None:
            commit += 1
        if not commit:
            return None
        interrupted = self._root.size(self.key(shard, commit + 1, "intent")) is not None
        version = known.version if known and known.commit == commit else 0
        found = ShardState(commit, interrupted, version)
        self._note(shard, found)
        return found

    def _note(self, shard: int, state: ShardState) -> None:
        if self._known is not None:
            self._known[shard] = state

    def last_known(self, shard: int) -> int:
        """The newest commit of a shard as far as it was seen: nothing is read. 0 for none."""
        known = (self._known or {}).get(shard)
        return known.commit if known else 0

    def locked_shards(self) -> list[int]:
        """Shards that have a lock file, held or left by a killed process."""
        found = {shard_of_lock(name) for name in self._root.names(self.folder)}
        return sorted(shard for shard in found if shard is not None)

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

    def newest_of(self, shard: int) -> ShardRecord | None:
        """The newest record of one shard, or ``None`` if it has none."""
        state = self.state(shard)
        return None if state is None else self.read(shard, state.commit)

    def records(self) -> Iterator[ShardRecord]:
        """The newest record of every committed shard, in order, one at a time."""
        for shard, state in sorted(self.states().items()):
            yield self.read(shard, state.commit)

    def newest(self) -> dict[int, ShardRecord]:
        """The newest record of every committed shard, by shard, in order."""
        return {record.shard: record for record in self.records()}

    def announce(self, shard: int, commit: int) -> None:
        """Put an intent: committed rows are about to be overwritten."""
        self._root.put(self.key(shard, commit, "intent"), b"")

    def append(self, record: ShardRecord) -> None:
        """Put a record. From then on readers see the shard."""
        self._root.put_new(self.key(record.shard, record.commit), record.to_bytes())
        self._root.remove(self.key(record.shard, record.commit, "intent"))
        self._note(record.shard, ShardState(record.commit, interrupted=False))

    def lock_key(self, shard: int) -> str:
        """The key of a shard's lock."""
        return f"{self.folder}/{shard:05d}.lock"
