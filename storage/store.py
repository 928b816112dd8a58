"""The feature store: one Zarr v3 group of clips, feature arrays, kept intermediates and a ledger.

docs/store.md describes the layout and what it guarantees. This module reads, and creates empty arrays;
:mod:`storage.writer` writes rows.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray

from storage.clips import ClipTable
from storage.commits import Commits
from storage.errors import InvalidInput, StoreError
from storage.files.opening import open_root
from storage.files.root import Root
from storage.layout import maintenance
from storage.layout.arrays import (
    CLIP_COLUMNS,
    clips_of,
    complete_root,
    create_clip_arrays,
    create_root,
    creation_lock,
    read_column,
)
from storage.layout.catalog import Catalog
from storage.layout.creation import DEFAULT_SHARD_SIZE, default_shard_size, left_by_creation
from storage.layout.decoded import DecodedSpec
from storage.layout.metadata import StoreInfo, check_lengths, in_row_order, no_store, read_info
from storage.layout.row_lookup import RowLookup
from storage.ledger import ShardRecord
from storage.schema import SCHEMA_VERSION, FeatureSpec, Provenance, Status
from storage.shards.direct import DirectArray
from storage.shards.threads import Threads


class FeatureStore(Catalog):
    """An open store. Use :meth:`open`, :meth:`create` or :meth:`open_or_create`.

    Attributes:
        info: the attributes of the root.
    """

    def __init__(self, root: Root, info: StoreInfo, *, read_only: bool) -> None:
        super().__init__(root, info)
        self.read_only = read_only
        self.threads = Threads(root.reading_threads)
        self.refresh()

    def __repr__(self) -> str:
        return f"FeatureStore({self.url!r}, {self.info.clips} clips, features: {', '.join(self.features) or 'none'})"

    def __reduce__(self) -> Any:
        """Pickled as its address: another process, e.g. a data loader's worker, opens the store itself."""
        return _reopened, (self.url, self.read_only)

    @classmethod
    def open(cls, url: str | os.PathLike[str], *, read_only: bool = True) -> FeatureStore:
        """Open an existing store.

        Raises:
            StoreError: If there is none, or its schema version is another one.
        """
        root = open_root(url)
        info = read_info(root)
        if info is None:
            raise no_store(root)
        return cls(root, info, read_only=read_only)

    @classmethod
    def create(
        cls,
        url: str | os.PathLike[str],
        table: ClipTable,
        *,
        clip_seconds: int = 10,
        shard_size: int = DEFAULT_SHARD_SIZE,
    ) -> FeatureStore:
        """Create an empty store for a clip table. The root's attributes are put last: a killed call leaves no store.

        Raises:
            InvalidInput: If the folder holds something else, or a number is not positive.
        """
        root = open_root(url)
        if shard_size < 1 or clip_seconds < 1:
            raise InvalidInput(f"shard size {shard_size} and clip seconds {clip_seconds} must be 1 or more")
        with creation_lock(root):
            if read_info(root) is not None:
                return cls.open_or_create(url, table, clip_seconds=clip_seconds, shard_size=shard_size)
            if strangers := [name for name in root.names("") if not left_by_creation(root, name)]:
                raise InvalidInput(
                    f"{root.url}: is not a feature store and holds {strangers[0]!r}. Choose another folder"
                )
            info = StoreInfo(SCHEMA_VERSION, table.dataset, len(table), table.hash, clip_seconds, shard_size)
            create_clip_arrays(root, table)
            create_root(root, info.to_json())
        return cls(root, info, read_only=False)

    @classmethod
    def open_or_create(
        cls, url: str | os.PathLike[str], table: ClipTable, *, clip_seconds: int = 10, shard_size: int | None = None
    ) -> FeatureStore:
        """Open the store for writing, or create it. It must hold exactly the clips of this table.

        Raises:
            SchemaMismatch: If its clips, clip length or shard size differ.
        """
        root = open_root(url)
        info = read_info(root)
        if info is None:
            size = min(shard_size or default_shard_size(len(table)), len(table))
            return cls.create(url, table, clip_seconds=clip_seconds, shard_size=size)
        store = cls(root, info, read_only=False)
        store._check_same(table, clip_seconds=clip_seconds, shard_size=shard_size)
        complete_root(root)
        return store

    def _check_same(self, table: ClipTable, *, clip_seconds: int, shard_size: int | None) -> None:
        self.in_row_order(table)
        check_lengths(self.info, url=self.url, clip_seconds=clip_seconds, shard_size=shard_size, clips=len(table))

    def in_row_order(self, table: ClipTable) -> ClipTable:
        """A table of this store's clips in the order of its rows.

        Raises:
            SchemaMismatch: If they are not the very same clips.
        """
        if table.hash == self.info.clip_table_hash:
            return table
        return in_row_order(self.clips, table, url=self.url, has_grown=bool(self.info.grown_at))

    @cached_property
    def clips(self) -> ClipTable:
        """The clip table as stored."""
        found = clips_of({name: self._column(name) for name in CLIP_COLUMNS})
        return ClipTable(found, dataset=self.info.dataset, source=self.url)

    @cached_property
    def ids(self) -> list[str]:
        """Clip ids in row order."""
        return [str(name) for name in self._column("id")]

    def _column(self, name: str) -> list[Any]:
        return read_column(self.array(f"clips/{name}"), self.info.clips, where=f"{self.url}/clips/{name}")

    def array(self, path: str) -> zarr.Array[Any]:
        """The zarr-python array at a path in the store."""
        mode: Literal["r", "r+"] = "r" if self.read_only else "r+"
        try:
            # Whole shards are written even where every row failed: an absent file would look like a lost one.
            with zarr.config.set({"array.write_empty_chunks": True}):  # opening takes no such argument
                return zarr.open_array(self.root.zarr_store(read_only=self.read_only), path=path, mode=mode)
        except Exception as problem:  # zarr's, over damaged metadata: no list of them is complete
            there = ", ".join(self.features) or "none yet"
            raise StoreError(f"{self.url}: no array {path!r}. Features there are: {there}") from problem

    def direct(self, path: str) -> DirectArray:
        """The array at a path in the store, to read and write without zarr-python. It is kept open."""
        known = self._arrays.get(path)  # another thread may refresh meanwhile
        if known is None:
            known = self._arrays[path] = DirectArray(self.root, path, rows=self.info.clips)
        return known

    def refresh(self) -> None:
        """Drop what is cached of arrays and commits. The next call reads it again."""
        self._arrays: dict[str, DirectArray] = {}
        self._commits = Commits(
            self.ledger, self.root.version, self.recorded_rows, clips=self.info.clips, shard_size=self.info.shard_size
        )

    def committed_now(self, record: ShardRecord) -> None:
        """Take note of a commit of this process."""
        self._commits.forget(record.array)
        if record.array in self._summaries:
            self._summaries[record.array].take(record)

    def committed(self, array: str) -> NDArray[np.bool_]:
        """Which rows lie in a committed shard: ``[clips]`` bool. Commits of other processes are seen."""
        return self._commits.rows(array)

    def read(self, backbone: str, rows: ArrayLike | slice | None = None) -> NDArray[np.float32]:
        """Features of some clips. Threads may call it at the same time.

        Args:
            backbone: name of the feature array.
            rows: row numbers or clip ids in any order, a slice, or ``None`` for all.

        Returns:
            ``[rows, steps, dim]`` in the stored dtype; NaN where a clip has none or its shard is not committed.

        Raises:
            StoreError: If there is no such array, or bytes of it were changed.
            IndexError: If a row number lies outside the table.
            InvalidInput: If a clip id is not in the table.
        """
        return self._read(backbone, "values", rows, fill=np.nan)

    def valid(self, backbone: str, rows: ArrayLike | slice | None = None) -> NDArray[np.bool_]:
        """Which steps are valid. Returns ``[rows, steps]`` bool, false where nothing is committed."""
        return self._read(backbone, "valid", rows, fill=False)

    def status(self, backbone: str) -> NDArray[np.uint8]:
        """Status codes (:class:`storage.schema.Status`). Returns ``[clips]``, 0 where nothing is committed."""
        return self._read(backbone, "status", None, fill=int(Status.PENDING))

    def _read(self, backbone: str, part: str, rows: ArrayLike | slice | None, *, fill: Any) -> NDArray[Any]:
        try:
            return self._read_once(backbone, part, rows, fill=fill)
        except StoreError:  # the array may have been replaced by another process since we looked
            self.refresh()
            return self._read_once(backbone, part, rows, fill=fill)

    def _read_once(self, backbone: str, part: str, rows: ArrayLike | slice | None, *, fill: Any) -> NDArray[Any]:
        path = f"features/{backbone}/{part}"
        if path not in self._arrays:
            self._feature_attributes(backbone)
        array, wanted = self.direct(path), self.row_numbers(rows)
        out = np.empty((len(wanted), *array.shape[1:]), dtype=array.dtype)
        there, recorded = self.committed(backbone)[wanted], self._commits.recorded(backbone, array)
        if there.all():
            array.read(wanted, out, threads=self.threads, recorded=recorded)
            return out
        found = np.empty((int(there.sum()), *array.shape[1:]), dtype=array.dtype)
        array.read(wanted[there], found, threads=self.threads, recorded=recorded)
        out[there], out[~there] = found, fill
        return out

    def kept(self, name: str, rows: range, companion: str = "") -> NDArray[Any]:
        """Rows of a kept intermediate or of its companion, with the fill value where there is no file yet.

        Raises:
            StoreError: If there is no such array, or bytes of it were changed.
        """
        array = self.direct(f"decoded/{name}" + (f"_{companion}" if companion else ""))
        return array.rows(rows.start, rows.stop, recorded=self._commits.recorded(f"decoded.{name}", array))

    def row_numbers(self, rows: ArrayLike | slice | None) -> NDArray[np.intp]:
        """See :meth:`storage.layout.row_lookup.RowLookup.numbers`."""
        return self._rows.numbers(rows)

    def row_of(self, clip_id: str) -> int:
        """See :meth:`storage.layout.row_lookup.RowLookup.of`."""
        return self._rows.of(clip_id)

    @cached_property
    def _rows(self) -> RowLookup:
        return RowLookup(self.info.clips, lambda: self.ids, url=self.url)

    def ensure_feature(
        self, spec: FeatureSpec, provenance: Provenance, *, rebuild: bool = False, codec: str = "auto"
    ) -> None:
        """Create a feature array, or check that the existing one is the same.

        Args:
            spec: shape and meaning.
            provenance: where it comes from. Only the identity is compared.
            rebuild: replace an array that differs. Without it, only an array without commits is replaced.
            codec: of a new array: ``blosc``, ``zstd``, ``none``, or ``auto``: blosc but for rows under 64 KiB.

        Raises:
            SchemaMismatch: If it differs; the message says in what.
            InvalidInput: If its name is that of no folder below ``features``.
        """
        maintenance.ensure_feature(self, spec, provenance, rebuild=rebuild, codec=codec)

    def remove_feature(self, name: str) -> None:
        """Remove a feature array and its ledger, records first: readers do not see what a killed call leaves."""
        self.refresh()
        maintenance.remove_feature(self, name)

    def ensure_decoded(self, spec: DecodedSpec) -> None:
        """Create the arrays of a kept intermediate, or check that the existing ones are the same.

        Raises:
            SchemaMismatch: If they differ.
        """
        maintenance.ensure_decoded(self, spec)


def _reopened(url: str, read_only: bool) -> FeatureStore:
    return FeatureStore.open(url, read_only=read_only)
