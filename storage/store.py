"""The feature store: one Zarr v3 group of clips, feature arrays, kept intermediates and a ledger.

Layout and promises are in docs/store.md. Writers go through :mod:`storage.writer`; everything here reads, or
creates empty arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray

from storage.arrays import (
    CLIP_COLUMNS,
    clips_of,
    create_clip_arrays,
    create_decoded,
    create_feature,
    create_root,
    read_rows,
)
from storage.clips import ClipTable
from storage.compare import StoreInfo, read_info, spec_differences, table_difference
from storage.decoded import DecodedSpec
from storage.errors import InvalidInput, SchemaMismatch, StoreError
from storage.files import Root
from storage.ledger import Ledger
from storage.schema import SCHEMA_VERSION, FeatureSpec, Provenance, Status, fingerprint

DEFAULT_SHARD_SIZE = 64
CREATE_PATIENCE_SECONDS = 60.0
"""How long to wait for another process that is making the store or an array; it takes well under a second."""


class FeatureStore:
    """A store that is open. Use :meth:`open`, :meth:`create` or :meth:`open_or_create`.

    Attributes:
        info: what the root says.
        url: where it is.
    """

    def __init__(self, root: Root, info: StoreInfo, *, read_only: bool) -> None:
        self.root = root
        self.url = root.url
        self.info = info
        self.read_only = read_only
        self._zarr_store = root.zarr_store(read_only=read_only)
        self._arrays: dict[str, zarr.Array[Any]] = {}

    @classmethod
    def open(cls, url: str | os.PathLike[str], *, read_only: bool = True) -> FeatureStore:
        """Open an existing store.

        Raises:
            StoreError: If there is none, or its schema version is not ours.
        """
        root = Root.at(url)
        info = read_info(root)
        if info is None:
            raise StoreError(f"{root.url}: no feature store here. Make one: avvp extract --clips … --store {root.url}")
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
        """Make an empty store for a clip table. Its attributes come last, so a killed call leaves none.

        Raises:
            InvalidInput: If the place holds something else, or a number is not positive.
        """
        root = Root.at(url)
        if shard_size < 1 or clip_seconds < 1:
            raise InvalidInput(f"shard size {shard_size} and clip seconds {clip_seconds} must be 1 or more")
        with root.lock("create.lock", patience_seconds=CREATE_PATIENCE_SECONDS):
            if read_info(root) is not None:
                return cls.open_or_create(url, table, clip_seconds=clip_seconds, shard_size=shard_size)
            names = {name for name in root.names("") if not name.endswith(".partial")}
            if strangers := names - {"clips", "zarr.json", "create.lock"}:
                raise InvalidInput(
                    f"{root.url}: is not a feature store and holds {sorted(strangers)[0]!r}. Give a new path"
                )
            info = StoreInfo(SCHEMA_VERSION, table.dataset, len(table), table.hash, clip_seconds, shard_size)
            create_clip_arrays(root.zarr_store(read_only=False), table)
            create_root(root, asdict(info))
        return cls(root, info, read_only=False)

    @classmethod
    def open_or_create(
        cls, url: str | os.PathLike[str], table: ClipTable, *, clip_seconds: int = 10, shard_size: int | None = None
    ) -> FeatureStore:
        """Open the store for writing, or make it; it must hold exactly this clip table.

        Raises:
            SchemaMismatch: If its clip table, clip length or shard size differ.
        """
        root = Root.at(url)
        info = read_info(root)
        if info is None:
            size = min(shard_size or DEFAULT_SHARD_SIZE, len(table))
            return cls.create(url, table, clip_seconds=clip_seconds, shard_size=size)
        store = cls(root, info, read_only=False)
        store._check_same(table, clip_seconds=clip_seconds, shard_size=shard_size)
        return store

    def _check_same(self, table: ClipTable, *, clip_seconds: int, shard_size: int | None) -> None:
        if table.hash != self.info.clip_table_hash:
            raise SchemaMismatch(
                f"{self.url}: {table_difference(self.clips, table)}. Give the same table, or a new store"
            )
        if clip_seconds != self.info.clip_seconds:
            raise SchemaMismatch(
                f"{self.url}: holds clips of {self.info.clip_seconds} s, asked for {clip_seconds} s. Use a new store"
            )
        if shard_size is not None and min(shard_size, len(table)) != self.info.shard_size:
            raise SchemaMismatch(
                f"{self.url}: has shards of {self.info.shard_size} clips, asked for {shard_size}. "
                "Leave --shard-size out"
            )

    @cached_property
    def clips(self) -> ClipTable:
        """The clip table as stored."""
        columns = {name: np.asarray(self.array(f"clips/{name}")[:]).tolist() for name in CLIP_COLUMNS}
        return ClipTable(clips_of(columns), dataset=self.info.dataset, source=self.url)

    @cached_property
    def ids(self) -> list[str]:
        """Clip ids in row order."""
        return [str(name) for name in np.asarray(self.array("clips/id")[:]).tolist()]

    @property
    def shards(self) -> int:
        """Number of shards of each array."""
        return -(-self.info.clips // self.info.shard_size)

    def shard_rows(self, shard: int) -> range:
        """The rows of a shard."""
        first = shard * self.info.shard_size
        return range(first, min(first + self.info.shard_size, self.info.clips))

    def array(self, path: str) -> zarr.Array[Any]:
        """A Zarr array by its path in the store; kept open."""
        if path not in self._arrays:
            mode: Literal["r", "r+"] = "r" if self.read_only else "r+"
            try:
                # Whole shards are written even where every row failed: an absent file would look like a lost one.
                with zarr.config.set({"array.write_empty_chunks": True}):  # opening takes no such argument
                    found = zarr.open_array(self._zarr_store, path=path, mode=mode)
            except (FileNotFoundError, ValueError) as problem:
                there = ", ".join(self.features) or "none yet"
                raise StoreError(f"{self.url}: no array {path!r}. Features there are: {there}") from problem
            self._arrays[path] = found
        return self._arrays[path]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature arrays, sorted."""
        return tuple(name for name in self.root.names("features") if self._attributes(f"features/{name}"))

    @property
    def decoded(self) -> tuple[str, ...]:
        """Names of the kept intermediates, sorted."""
        return tuple(name for name in self.root.names("decoded") if self._attributes(f"decoded/{name}"))

    def _attributes(self, path: str) -> Mapping[str, Any]:
        data = self.root.read(f"{path}/zarr.json")
        attributes = {} if data is None else json.loads(data).get("attributes", {}).get("avvp", {})
        return attributes if isinstance(attributes, dict) else {}

    def _feature_attributes(self, name: str) -> Mapping[str, Any]:
        attributes = self._attributes(f"features/{name}")
        if not attributes:
            raise StoreError(
                f"{self.url}: no features {name!r}; there are {', '.join(self.features) or 'none yet'}. "
                f"Make them: avvp extract --store {self.url} --backbone {name} --clips …"
            )
        return attributes

    def spec(self, name: str) -> FeatureSpec:
        """Shape and meaning of a feature array."""
        return FeatureSpec.from_json(self._feature_attributes(name)["spec"])

    def provenance(self, name: str) -> Provenance:
        """Where a feature array comes from."""
        return Provenance.from_json(self._feature_attributes(name)["provenance"])

    def fingerprint(self, name: str) -> str:
        """Content address of a feature array's spec and provenance."""
        return fingerprint(self.spec(name), self.provenance(name))

    def decoded_spec(self, name: str) -> DecodedSpec:
        """Shape and meaning of a kept intermediate."""
        attributes = self._attributes(f"decoded/{name}")
        if not attributes:
            raise StoreError(f"{self.url}: no {name!r} was kept; there are {', '.join(self.decoded) or 'none'}")
        return DecodedSpec.from_json(attributes["spec"])

    def ledger(self, array: str) -> Ledger:
        """The ledger of a feature array, or of ``decoded.<name>``."""
        return Ledger(self.root, array)

    def committed(self, array: str) -> NDArray[np.bool_]:
        """Which rows lie in a committed shard. Returns ``[clips]`` bool."""
        rows = np.zeros(self.info.clips, dtype=bool)
        for shard in self.ledger(array).states():
            rows[self.shard_rows(shard).start : self.shard_rows(shard).stop] = True
        return rows

    def read(self, backbone: str, rows: ArrayLike | slice | None = None) -> NDArray[np.float32]:
        """Features of some clips.

        Args:
            backbone: name of the feature array.
            rows: row numbers in any order, a slice, or ``None`` for all.

        Returns:
            ``[rows, steps, dim]`` in the stored dtype; NaN where a clip has none or its shard is not committed.
        """
        wanted = self._rows(rows)
        spec = self.spec(backbone)
        out = np.full((len(wanted), spec.steps, spec.dim), np.nan, dtype=spec.dtype)
        read_rows(self.array(f"features/{backbone}/values"), wanted, self.committed(backbone), out)
        return out

    def valid(self, backbone: str, rows: ArrayLike | slice | None = None) -> NDArray[np.bool_]:
        """Which steps are valid. Returns ``[rows, steps]`` bool, false where nothing is committed."""
        wanted = self._rows(rows)
        masks = np.asarray(self.array(f"features/{backbone}/valid")[:]) & self.committed(backbone)[:, None]
        return np.asarray(masks[wanted], dtype=bool)

    def status(self, backbone: str) -> NDArray[np.uint8]:
        """Status codes (:class:`storage.schema.Status`). Returns ``[clips]``, 0 where nothing is committed."""
        codes = np.asarray(self.array(f"features/{backbone}/status")[:])
        return np.where(self.committed(backbone), codes, np.uint8(Status.PENDING)).astype(np.uint8)

    def _rows(self, rows: ArrayLike | slice | None) -> NDArray[np.intp]:
        every = np.arange(self.info.clips)
        if rows is None or isinstance(rows, slice):
            return every[rows if rows is not None else slice(None)]
        wanted = np.atleast_1d(np.asarray(rows, dtype=np.intp))
        if wanted.size and (wanted.min() < -self.info.clips or wanted.max() >= self.info.clips):
            raise IndexError(f"rows must lie in [0, {self.info.clips}), got {wanted.min()} to {wanted.max()}")
        return every[wanted]

    def ensure_feature(self, spec: FeatureSpec, provenance: Provenance, *, rebuild: bool = False) -> None:
        """Make a feature array, or check that the one there is the same.

        Args:
            spec: shape and meaning.
            provenance: its identity is compared, its circumstances are not.
            rebuild: replace an array that differs. One in which nothing was committed yet is replaced anyway.

        Raises:
            SchemaMismatch: If it differs; the message says in what.
        """
        # Making an array wipes what lies there: the look and the making must be one step for all processes.
        with self.root.lock(f"ledger/{spec.name}/create.lock", patience_seconds=CREATE_PATIENCE_SECONDS):
            attributes = self._attributes(f"features/{spec.name}")
            if attributes:
                there = FeatureSpec.from_json(attributes["spec"]), Provenance.from_json(attributes["provenance"])
                differences = spec_differences(there, (spec, provenance))
                if not differences:
                    return
                if not rebuild and self.ledger(spec.name).states():
                    raise SchemaMismatch(
                        f"{self.url}: features/{spec.name} has {'; '.join(differences)}. "
                        f"Rebuild it: add --rebuild (it replaces this array only)"
                    )
                self._replaceable(spec.name)
                self.remove_feature(spec.name)
            create_feature(self.root, spec, provenance, clips=self.info.clips, shard_size=self.info.shard_size)

    def _replaceable(self, name: str) -> None:
        """Raises ShardLocked if another process is working on a shard of this array: its rows would be lost."""
        for shard in range(self.shards):
            with self.root.lock(self.ledger(name).lock_key(shard)):
                pass

    def remove_feature(self, name: str) -> None:
        """Remove a feature array and its ledger. Records go first: what is left of a killed call does not exist."""
        self._arrays = {path: array for path, array in self._arrays.items() if not path.startswith(f"features/{name}/")}
        for entry in self.root.names(f"ledger/{name}"):
            if not entry.endswith(".lock"):
                self.root.remove(f"ledger/{name}/{entry}")
        self.root.remove(f"features/{name}/zarr.json")
        self.root.remove(f"features/{name}")

    def ensure_decoded(self, spec: DecodedSpec) -> None:
        """Make the arrays of a kept intermediate, or check that they are the same.

        Raises:
            SchemaMismatch: If they differ.
        """
        with self.root.lock(f"ledger/{spec.ledger_name}/create.lock", patience_seconds=CREATE_PATIENCE_SECONDS):
            self._ensure_decoded(spec)

    def _ensure_decoded(self, spec: DecodedSpec) -> None:
        attributes = self._attributes(f"decoded/{spec.name}")
        if attributes:
            if DecodedSpec.from_json(attributes["spec"]) != spec:
                raise SchemaMismatch(
                    f"{self.url}: decoded/{spec.name} was kept as {attributes['spec']}, asked for {spec.to_json()}. "
                    "Use a new store, or leave --keep out"
                )
            return
        create_decoded(self.root, spec, clips=self.info.clips, shard_size=self.info.shard_size)
