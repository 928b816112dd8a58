"""Making and reading the Zarr arrays of a store: shapes, chunks, codecs, attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.array_spec import ArrayConfigParams

from storage.clips import Clip, ClipTable
from storage.decoded import DecodedSpec
from storage.files import Root
from storage.schema import FeatureSpec, Provenance, Status

CLIP_COLUMNS = ("id", "source", "start_seconds", "end_seconds", "split", "labels")
_WRITE_ALL: ArrayConfigParams = {"write_empty_chunks": True}


def codecs() -> list[Any]:
    """The default codec of every chunk: zstd level 1, then a crc32c that readers check."""
    return [ZstdCodec(level=1), Crc32cCodec()]


def create_root(root: Root, info: Mapping[str, Any]) -> None:
    """Put the root's attributes: from now on there is a store."""
    _put_group(root, "", info)


def create_clip_arrays(zarr_store: Any, table: ClipTable) -> None:
    """Write the clip table: one array a column, one chunk each."""
    zarr.create_group(zarr_store, path="clips", overwrite=True)
    ends = [np.nan if clip.end_seconds is None else clip.end_seconds for clip in table]
    numbers = {"start_seconds": [clip.start_seconds for clip in table], "end_seconds": ends}
    texts = {
        "id": table.ids,
        "source": [clip.path for clip in table],
        "split": [clip.split for clip in table],
        "labels": [";".join(clip.labels) for clip in table],
    }
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in numbers.items()}
    for name, column in columns.items():
        _create(zarr_store, f"clips/{name}", column.shape, column.shape, column.dtype, fill=np.nan)[:] = column
    for name, values in texts.items():
        array = zarr.create_array(
            zarr_store,
            name=f"clips/{name}",
            shape=(len(values),),
            chunks=(len(values),),
            dtype=str,
            compressors=codecs(),
            overwrite=True,
            config=_WRITE_ALL,
        )
        array[:] = np.asarray(values, dtype=object)


def clips_of(columns: Mapping[str, list[Any]]) -> list[Clip]:
    """The clips that :func:`create_clip_arrays` wrote, from its columns by name."""
    rows = zip(*(columns[name] for name in CLIP_COLUMNS), strict=True)
    return [
        Clip(id_, path, start, None if np.isnan(end) else end, split, tuple(labels.split(";")) if labels else ())
        for id_, path, start, end, split, labels in rows
    ]


def create_feature(root: Root, spec: FeatureSpec, provenance: Provenance, *, clips: int, shard_size: int) -> None:
    """Make the empty arrays of a backbone, its group's attributes last.

    ``values`` has one clip a chunk inside shards of ``shard_size`` clips; ``valid`` and ``status`` have one
    chunk a shard. Floats that were never written are NaN, statuses ``PENDING``.
    """
    base = f"features/{spec.name}"
    zarr_store = root.zarr_store(read_only=False)
    shape = (clips, spec.steps, spec.dim)
    _create(
        zarr_store, f"{base}/values", shape, (1, *shape[1:]), spec.dtype, fill=np.nan, shards=(shard_size, *shape[1:])
    )
    _create(zarr_store, f"{base}/valid", shape[:2], (shard_size, spec.steps), "bool", fill=False)
    _create(zarr_store, f"{base}/status", (clips,), (shard_size,), "uint8", fill=int(Status.PENDING))
    _put_group(root, base, {"spec": spec.to_json(), "provenance": provenance.to_json()})


def create_decoded(root: Root, spec: DecodedSpec, *, clips: int, shard_size: int) -> None:
    """Make the empty arrays of a kept intermediate: one file a clip, companions one file a shard."""
    zarr_store = root.zarr_store(read_only=False)
    for key, (shape, dtype) in spec.companions.items():
        _create(zarr_store, f"decoded/{spec.name}_{key}", (clips, *shape), (shard_size, *shape), dtype, fill=0)
    attributes = {"avvp": {"spec": spec.to_json()}}
    _create(
        zarr_store, f"decoded/{spec.name}", (clips, *spec.shape), (1, *spec.shape), spec.dtype, fill=0,
        attributes=attributes,
    )  # fmt: skip


def read_rows(array: zarr.Array[Any], rows: NDArray[np.intp], committed: NDArray[np.bool_], out: NDArray[Any]) -> None:
    """Fill ``out[i]`` with row ``rows[i]`` where it is committed. A selection a row: ``oindex`` is six times slower."""
    for position, row in enumerate(rows):
        if committed[row]:
            out[position] = array[int(row)]


def _create(
    zarr_store: Any,
    path: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any,
    *,
    fill: Any,
    shards: tuple[int, ...] | None = None,
    attributes: dict[str, Any] | None = None,
) -> zarr.Array[Any]:
    return zarr.create_array(
        zarr_store,
        name=path,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        fill_value=fill,
        compressors=codecs(),
        attributes=attributes,
        overwrite=True,
        config=_WRITE_ALL,
    )


def _put_group(root: Root, path: str, attributes: Mapping[str, Any]) -> None:
    """Put a group's attributes durably, after its arrays: zarr makes bare groups, and those do not count for us."""
    body = {"zarr_format": 3, "node_type": "group", "attributes": {"avvp": dict(attributes)}}
    root.put(f"{path}/zarr.json".lstrip("/"), json.dumps(body, indent=2, allow_nan=False).encode())
