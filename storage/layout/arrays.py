"""Creates the groups and arrays of a store: shapes, chunks, codecs, axes and attributes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.array_spec import ArrayConfigParams

from storage.clips import Clip, ClipTable
from storage.errors import ShardLocked, StoreError
from storage.files.root import Root
from storage.foreign_files import reading
from storage.layout.decoded import DecodedSpec
from storage.layout.label_schema import LABEL_GROUPS
from storage.schema import FeatureSpec, Provenance, Status
from storage.shards.codec import codecs
from storage.shards.seal import SEAL, Seal

CLIP_COLUMNS = ("id", "source", "start_seconds", "end_seconds", "split", "labels")
GROUPS = ("features", "decoded")
"""Groups in which several processes create arrays later."""
LEDGER_NODE = "ledger/zarr.json"
_CREATION_LOCK = "create.lock"
_WRITE_ALL: ArrayConfigParams = {"write_empty_chunks": True}

CREATE_PATIENCE_SECONDS = 60.0
"""How long to wait for another process that is creating the store or an array, which takes under a second."""


SMALL_ROW_BYTES = 64 << 10
"""Codec ``auto`` stores smaller rows uncompressed: they are read faster than decompressed, and take little space."""


def create_root(root: Root, info: Mapping[str, Any]) -> None:
    """Create the shared groups, seal the clip table, and put the root's attributes last: now there is a store.

    The groups are created here, under the creation lock. Processes that create arrays in them at the same time could
    not tell what a killed process left from what another one is writing.
    """
    _sweep(root, "zarr.json", f"ledger/{SEAL}", LEDGER_NODE, *(f"{group}/zarr.json" for group in GROUPS))
    _zarr_store_with(root, *GROUPS)
    root.put(LEDGER_NODE, _ledger_bytes())
    body = group_bytes(info)
    keys = [key for key, _ in root.walk("clips")]
    Seal.of(root, keys, {"zarr.json": body}).put(root, "ledger")
    root.put("zarr.json", body)


def creation_lock(root: Root) -> AbstractContextManager[None]:
    """The lock under which a store is made; waits for another process that holds it."""
    return root.lock(_CREATION_LOCK, patience_seconds=CREATE_PATIENCE_SECONDS)


def complete_root(root: Root) -> None:
    """Add what stores of earlier releases lack, and remove the lock of a creation that was killed at its very end."""
    if root.read(LEDGER_NODE) is None:
        root.put(LEDGER_NODE, _ledger_bytes())
    if any(name.startswith(_CREATION_LOCK) for name in root.names("")):
        with suppress(ShardLocked), root.lock(_CREATION_LOCK):
            pass


def create_clip_arrays(root: Root, table: ClipTable) -> None:
    """Write the clip table: one array for each column, of one chunk."""
    root.remove("clips")
    root.put("clips/zarr.json", group_bytes())
    zarr_store = root.zarr_store(read_only=False)
    for name, column in clip_columns(table).items():
        if column.dtype.kind == "f":
            made = _create(zarr_store, f"clips/{name}", column.shape, column.shape, column.dtype, axes=(), fill=np.nan)
            made[:] = column
            continue
        array = zarr.create_array(
            zarr_store,
            name=f"clips/{name}",
            shape=column.shape,
            chunks=column.shape,
            dtype=str,
            dimension_names=["clips"],
            compressors=codecs(),
            overwrite=True,
            config=_WRITE_ALL,
        )
        array[:] = column


def clip_columns(table: ClipTable) -> dict[str, NDArray[Any]]:
    """The columns of a clip table, by name: numbers in float64, texts as objects."""
    ends = [np.nan if clip.end_seconds is None else clip.end_seconds for clip in table]
    numbers = {"start_seconds": [clip.start_seconds for clip in table], "end_seconds": ends}
    texts = {
        "id": table.ids,
        "source": [clip.path for clip in table],
        "split": [clip.split for clip in table],
        "labels": [";".join(clip.labels) for clip in table],
    }
    columns: dict[str, NDArray[Any]] = {name: np.asarray(found, dtype=np.float64) for name, found in numbers.items()}
    return columns | {name: np.asarray(found, dtype=object) for name, found in texts.items()}


def clips_of(columns: Mapping[str, list[Any]]) -> list[Clip]:
    """The clips that :func:`create_clip_arrays` wrote, from its columns by name."""
    rows = zip(*(columns[name] for name in CLIP_COLUMNS), strict=True)
    return [
        Clip(id_, path, start, None if np.isnan(end) else end, split, tuple(labels.split(";")) if labels else ())
        for id_, path, start, end, split, labels in rows
    ]


def read_column(array: zarr.Array[Any], clips: int, *, where: str) -> list[Any]:
    """A column of the clip table. An append that was killed has left more in it than there are clips.

    Raises:
        StoreError: If it has fewer rows than there are clips, or cannot be read.
    """
    if len(array.shape) != 1 or array.shape[0] < clips:
        raise StoreError(f"{where}: has the shape {array.shape}, the store has {clips} clips. Run: avvp verify")
    with reading(where, "cannot be read", error=StoreError, remedy="Run: avvp verify"):
        values: list[Any] = np.asarray(array[:clips]).tolist()
    return values


def create_feature(
    root: Root, spec: FeatureSpec, provenance: Provenance, *, clips: int, shard_size: int, codec: str = "auto"
) -> None:
    """Create the empty arrays of a backbone. The attributes of its group are put last.

    ``values`` has one clip a chunk inside shards of ``shard_size`` clips; ``valid`` and ``status`` have one
    chunk a shard. Floats that were never written are NaN, statuses ``PENDING``.
    """
    base = f"features/{spec.name}"
    _sweep(root, f"{base}/zarr.json", f"ledger/{spec.name}/{SEAL}")
    zarr_store = _zarr_store_with(root, "features", base)
    shape = (clips, spec.steps, spec.dim)
    shards = (shard_size, *shape[1:])
    if codec == "auto":
        small = spec.steps * spec.dim * np.dtype(spec.dtype).itemsize < SMALL_ROW_BYTES
        codec = "none" if small else "blosc"
    chunks, axes = (1, *shape[1:]), ("steps", "dim")
    _create(
        zarr_store, f"{base}/values", shape, chunks, spec.dtype, axes=axes, fill=np.nan, shards=shards, codec=codec
    )  # fmt: skip
    _create(zarr_store, f"{base}/valid", shape[:2], (shard_size, spec.steps), "bool", axes=axes[:1], fill=False)
    _create(zarr_store, f"{base}/status", (clips,), (shard_size,), "uint8", axes=(), fill=int(Status.PENDING))
    body = group_bytes({"spec": spec.to_json(), "provenance": provenance.to_json()})
    made = [f"{base}/{name}/zarr.json" for name in ("values", "valid", "status")]
    Seal.of(root, made, {f"{base}/zarr.json": body}).put(root, f"ledger/{spec.name}")
    root.put(f"{base}/zarr.json", body)


def create_decoded(root: Root, spec: DecodedSpec, *, clips: int, shard_size: int) -> None:
    """Create the empty arrays of a kept intermediate: one file for each clip, companions one for each shard.

    The attributes are put last. Readers ignore an array without them, so they do not see what a killed call leaves.
    """
    metadata = f"decoded/{spec.name}/zarr.json"
    _sweep(root, metadata, f"ledger/{spec.ledger_name}/{SEAL}")
    zarr_store = _zarr_store_with(root, "decoded")
    paths = [f"decoded/{spec.name}", *(f"decoded/{spec.name}_{key}" for key in spec.companions)]
    for path, (key, (shape, dtype)) in zip(paths[1:], spec.companions.items(), strict=True):
        _create(zarr_store, path, (clips, *shape), (shard_size, *shape), dtype, axes=spec.axes(key), fill=0)
    shape = (clips, *spec.shape)
    _create(zarr_store, paths[0], shape, (1, *shape[1:]), spec.dtype, axes=spec.axes(), fill=0)
    body = json.loads(root.read(metadata) or b"{}") | {"attributes": {"avvp": {"spec": spec.to_json()}}}
    data = json.dumps(body, indent=2, allow_nan=False).encode()
    Seal.of(root, [f"{path}/zarr.json" for path in paths[1:]], {metadata: data}).put(root, f"ledger/{spec.ledger_name}")
    root.put(metadata, data)


def _sweep(root: Root, *keys: str) -> None:
    """Remove what killed creations left beside these files. The caller holds the creation lock."""
    for key in keys:
        root.sweep(key)


def _zarr_store_with(root: Root, *groups: str) -> Any:
    """The zarr-python store, after creating groups without attributes where they are missing."""
    for path in groups:
        if root.read(f"{path}/zarr.json") is None:
            root.put(f"{path}/zarr.json", group_bytes())
    return root.zarr_store(read_only=False)


def _create(
    zarr_store: Any,
    path: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any,
    *,
    axes: Sequence[str | None],
    fill: Any,
    shards: tuple[int, ...] | None = None,
    codec: str = "zstd",
) -> zarr.Array[Any]:
    itemsize = np.dtype(dtype).itemsize
    return zarr.create_array(
        zarr_store,
        name=path,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        dimension_names=["clips", *axes],
        fill_value=fill,
        compressors=codecs(codec, itemsize=itemsize, chunk_bytes=math.prod(chunks) * itemsize),
        overwrite=True,
        config=_WRITE_ALL,
    )


def group_bytes(attributes: Mapping[str, Any] | None = None) -> bytes:
    """The metadata of a group. Readers ignore a group without our attributes."""
    body = {"zarr_format": 3, "node_type": "group", "attributes": {"avvp": dict(attributes)} if attributes else {}}
    return json.dumps(body, indent=2, allow_nan=False).encode()


def fixed_metadata() -> dict[str, bytes]:
    """Metadata files that are the same in every store, by key. No seal names them."""
    return {f"{name}/zarr.json": group_bytes() for name in (*GROUPS, *LABEL_GROUPS)} | {LEDGER_NODE: _ledger_bytes()}


def _ledger_bytes() -> bytes:
    """The metadata that makes the ledger's folder an empty array: Zarr libraries do not look for nodes in an array."""
    about = "Records, seals and locks of avvp-pipeline lie in this folder; docs/store.md describes them. No values."
    body = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [0],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {"avvp": {"about": about}},
        "dimension_names": ["records"],
    }
    return json.dumps(body, indent=2).encode()
