"""A summary of an array's ledger in columns: planning and status need not read a record a shard.

It is a cache, ``ledger/<array>/summary.npz``. Each shard's part names the record that it was made from, by its commit
and by the version of its file; where another record is the newest, that record is read and the part is made anew. So a
summary may be stale, damaged or missing: then it costs time, and nothing else.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidInput, StoreError
from storage.files.root import Root
from storage.foreign_files import reading
from storage.ledger import Ledger, Row, ShardRecord, ShardState
from storage.schema import Status
from storage.text import kind_of_reason

SUMMARY = "summary.npz"
_FORMAT = 1
_STATUS, _COMPARABLE, _STORED = 0x3F, 0x40, 0x80
_EXAMPLES = 3
_SAVES_A_RUN = 16
WORTH_SAVING = 16
"""Records that somebody read one by one, from which on a summary spares the next one work."""
_LEAST_TO_SAVE = 64
"""Shards that are new to a summary before it is written: a file of a million clips has 17 MB."""


@dataclass
class Kind:
    """Clips of an array with the same status and the same reason but for numbers in it.

    Attributes:
        status: ``missing``, ``decode_error`` …
        stored: whether they have features.
        reason: in words; numbers are N where they differ.
        count: how many clips.
        examples: some of their ids.
    """

    status: str
    stored: bool
    reason: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def take(self, other: Kind) -> None:
        """Add clips of the same kind."""
        if other.reason != self.reason:
            self.reason = kind_of_reason(self.reason)
        self.count += other.count
        self.examples += other.examples[: _EXAMPLES - len(self.examples)]


def grouped(kinds: Iterable[Kind]) -> list[Kind]:
    """The kinds that differ, each with all of its clips, in the order in which they come."""
    groups: dict[tuple[str, bool, str], Kind] = {}
    for kind in kinds:
        key = (kind.status, kind.stored, kind_of_reason(kind.reason))
        if key in groups:
            groups[key].take(kind)
        else:
            groups[key] = Kind(kind.status, kind.stored, kind.reason, kind.count, list(kind.examples))
    return list(groups.values())


def kinds_of(rows: Iterable[Row]) -> list[Kind]:
    """The kinds of rows that have a reason or no features."""
    return grouped(
        Kind(row.status, row.stored, row.reason, 1, [row.id]) for row in rows if row.reason or not row.stored
    )


@dataclass(frozen=True)
class SummaryRows:
    """What newest records say of clips, in columns ``[clips]``.

    Attributes:
        status: codes (:class:`storage.schema.Status`); 0 also where nothing is recorded.
        stored: whether a clip has features.
        comparable: whether the content of its file is known: not after a time-out or a crash.
        sizes: bytes of its file.
        mtimes: modification time of its file in nanoseconds.
    """

    status: NDArray[np.uint8]
    stored: NDArray[np.bool_]
    comparable: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    mtimes: NDArray[np.int64]


class LedgerSummary:
    """What the newest records of an array say, by clip and by shard.

    Args:
        root: the store's folder.
        ledger: of the array.
        clips: rows of the store.
        shard_size: clips in a shard.
    """

    def __init__(self, root: Root, ledger: Ledger, *, clips: int, shard_size: int) -> None:
        self._root = root
        self._ledger = ledger
        self._key = f"{ledger.folder}/{SUMMARY}"
        self._shape = (clips, shard_size)
        shards = -(-clips // shard_size)
        self._interrupted: set[int] = set()
        self._unsaved = 0
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros(shards, dtype=np.int64) for name in ("commits", "versions", "recorded", "bytes", "made_on")
        }
        self._columns["flags"] = np.zeros(clips, dtype=np.uint8)
        self._columns |= {name: np.zeros(clips, dtype=np.int64) for name in ("sizes", "mtimes")}
        self._kinds: dict[int, list[Kind]] = {}
        self._circumstances: list[str] = []
        self._load()

    @property
    def commits(self) -> NDArray[np.int64]:
        """The newest commit of each shard, ``[shards]``; 0 where there is none."""
        return self._columns["commits"]

    @property
    def interrupted(self) -> set[int]:
        """Shards of which a later commit was cut off."""
        return self._interrupted

    @property
    def recorded(self) -> NDArray[np.int64]:
        """Clips that each shard's record names, ``[shards]``: fewer than it has where the store has grown since."""
        return self._columns["recorded"]

    def rows(self, rows: NDArray[np.intp] | slice = slice(None)) -> SummaryRows:
        """What is recorded of some clips; of all if none are named."""
        flags = self._columns["flags"][rows]
        return SummaryRows(
            status=(flags & _STATUS).astype(np.uint8),
            stored=(flags & _STORED) != 0,
            comparable=(flags & _COMPARABLE) != 0,
            sizes=self._columns["sizes"][rows],
            mtimes=self._columns["mtimes"][rows],
        )

    @property
    def bytes_on_disk(self) -> int:
        """Of all committed files."""
        return int(self._columns["bytes"].sum())

    @property
    def kinds(self) -> list[Kind]:
        """Clips that have a reason or no features, by status and reason."""
        return grouped(kind for shard in sorted(self._kinds) for kind in self._kinds[shard])

    @property
    def circumstances(self) -> list[tuple[Mapping[str, Any], int]]:
        """What shards were made on, and how many of them."""
        counts = np.bincount(self._columns["made_on"], minlength=len(self._circumstances) + 1)[1:]
        return [(json.loads(text), int(shards)) for text, shards in zip(self._circumstances, counts, strict=True)
                if shards]  # fmt: skip

    def refresh(self, shards: Iterable[int] | None = None) -> None:
        """Read the records that are newer than the summary.

        Args:
            shards: look at these only; ``None`` for all, which costs a listing of the ledger.

        Raises:
            StoreError: If a record is missing or damaged.
        """
        if shards is None:
            states = self._ledger.states()
            asked: Iterable[int] = range(len(self.commits))
            self._interrupted = {shard for shard, state in states.items() if state.interrupted}
        else:
            asked = list(shards)
            states = {shard: state for shard in asked if (state := self._ledger.state(shard)) is not None}
            self._interrupted -= set(asked)
            self._interrupted |= {shard for shard, state in states.items() if state.interrupted}
        for shard in asked:
            state = states.get(shard)
            if state is None:
                if self.commits[shard]:
                    self._clear(shard)
            elif not self._is_of(shard, state):
                self._take(self._ledger.read(shard, state.commit), state.version)

    def _is_of(self, shard: int, state: ShardState) -> bool:
        return bool(self.commits[shard] == state.commit and state.version in (0, int(self._columns["versions"][shard])))

    def take(self, record: ShardRecord) -> None:
        """Take in a record that was just put, and save the summary when there are enough of them."""
        self._take(record, self._root.version_of_file(self._ledger.key(record.shard, record.commit)))
        if self._unsaved >= max(_LEAST_TO_SAVE, len(self.commits) // _SAVES_A_RUN):
            self.save()

    def _take(self, record: ShardRecord, version: int) -> None:
        shard, first = record.shard, record.first_clip
        span = slice(first, first + len(record.rows))
        self._clear(shard)
        columns = self._columns
        columns["commits"][shard], columns["versions"][shard] = record.commit, version
        columns["recorded"][shard] = len(record.rows)
        columns["bytes"][shard] = sum(int(file["bytes"]) for file in record.files.values())
        columns["flags"][span] = [_flags_of(row) for row in record.rows]
        columns["sizes"][span] = [row.size_bytes for row in record.rows]
        columns["mtimes"][span] = [row.mtime_ns for row in record.rows]
        text = json.dumps(dict(record.circumstances), sort_keys=True)
        if text not in self._circumstances:
            self._circumstances.append(text)
        columns["made_on"][shard] = self._circumstances.index(text) + 1
        if kinds := kinds_of(record.rows):
            self._kinds[shard] = kinds
        self._unsaved += 1

    def _clear(self, shard: int) -> None:
        clips, size = self._shape
        for name in ("commits", "versions", "recorded", "bytes", "made_on"):
            self._columns[name][shard] = 0
        for name in ("flags", "sizes", "mtimes"):
            self._columns[name][shard * size : min((shard + 1) * size, clips)] = 0
        self._kinds.pop(shard, None)

    def save(self, *, least: int = 1) -> None:
        """Write the summary, if at least so many shards are new to it. A folder without write access is left alone.

        Another process may have saved its own: what that one knows and this one does not is read again, once.
        """
        if self._unsaved < least:
            return
        about = {
            "format": _FORMAT,
            "shard_size": self._shape[1],
            "circumstances": self._circumstances,
            "kinds": {
                str(shard): [[kind.status, kind.stored, kind.reason, kind.count, kind.examples] for kind in kinds]
                for shard, kinds in self._kinds.items()
            },
        }
        packed = io.BytesIO()
        np.savez(packed, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **self._columns)
        with suppress(StoreError, InvalidInput, OSError):
            self._root.put(self._key, packed.getvalue())
        self._unsaved = 0

    def _load(self) -> None:
        data = self._root.read(self._key)
        if data is None:
            return
        with suppress(StoreError), reading(self._key, "is damaged", error=StoreError):  # made anew from the records
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                about = json.loads(archive["about"].tobytes())
                columns = {name: archive[name] for name in self._columns}
            circumstances = [str(text) for text in about["circumstances"]]
            if about["format"] != _FORMAT or about["shard_size"] != self._shape[1]:
                return
            columns = {name: _grown(column, self._columns[name]) for name, column in columns.items()}
            if int(columns["made_on"].max()) > len(circumstances) or int(columns["made_on"].min()) < 0:
                return
            kinds = {int(shard): [Kind(*entry) for entry in found] for shard, found in about["kinds"].items()}
            self._columns, self._kinds, self._circumstances = columns, kinds, circumstances


def _grown(column: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """A column of a store that may have fewer clips than today, with zeros for the rest."""
    if column.ndim != 1 or len(column) > len(like) or column.dtype != like.dtype:
        raise ValueError(f"expected {like.dtype} for {len(like)} entries or fewer")
    whole = np.zeros_like(like)
    whole[: len(column)] = column
    return whole


def _flags_of(row: Row) -> int:
    comparable = bool(row.clip_fingerprint) or row.code is Status.MISSING
    return int(row.code) | (_COMPARABLE if comparable else 0) | (_STORED if row.stored else 0)
