"""Describes the arrays of a store: layout, statistics of one array, one clip across all arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from storage.labels import LabelStore
from storage.layout.label_schema import LABEL_GROUPS
from storage.store import FeatureStore

_READ_ROWS = 64


@dataclass(frozen=True)
class ArrayLayout:
    """How one Zarr array is laid out.

    Attributes:
        path: in the store.
        shape: of the array.
        dtype: numpy name.
        chunks: inner chunk.
        shards: shard, or ``None`` where a chunk is a file.
        codecs: names, in order.
        bytes_on_disk: of its files.
        ratio: uncompressed bytes over bytes on disk; ``None`` for text and empty arrays.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    codecs: tuple[str, ...]
    bytes_on_disk: int
    ratio: float | None


def layouts(store: FeatureStore) -> list[ArrayLayout]:
    """Every array of a store, in path order."""
    paths = [f"clips/{name}" for name in store.root.names("clips") if name != "zarr.json"]
    paths += [f"features/{name}/{part}" for name in store.features for part in ("values", "valid", "status")]
    paths += [f"decoded/{name}" for name in store.root.names("decoded") if name != "zarr.json"]
    labels = LabelStore(store.root, store.info)
    groups = [f"{kind}/{name}" for kind in LABEL_GROUPS for name in labels.groups(kind)]
    paths += [f"{group}/{part}" for group in groups for part in store.root.names(group) if part != "zarr.json"]
    return [_layout(store, path) for path in paths]


def _layout(store: FeatureStore, path: str) -> ArrayLayout:
    array: zarr.Array[Any] = store.array(path)
    size = store.root.tree_bytes(path) - (store.root.size(f"{path}/zarr.json") or 0)
    plain = array.dtype.itemsize * array.size if array.dtype.kind in "biuf" else 0
    codecs = tuple(type(codec).__name__.removesuffix("Codec").lower() for codec in array.compressors)
    return ArrayLayout(
        path,
        array.shape,
        str(array.dtype),
        array.chunks,
        array.shards,
        codecs,
        size,
        plain / size if plain and size else None,
    )


@dataclass(frozen=True)
class Statistics:
    """Numbers of the valid steps of one feature array.

    Attributes:
        rows: clips with at least one valid step.
        minimum: smallest value.
        mean: of all values.
        maximum: largest value.
        zero_share: share of values that are exactly 0.
        norm_edges: ``[11]`` bin edges of the steps' L2 norms.
        norm_counts: ``[10]`` steps in each bin.
    """

    rows: int
    minimum: float
    mean: float
    maximum: float
    zero_share: float
    norm_edges: NDArray[np.float64]
    norm_counts: NDArray[np.intp]


def statistics(store: FeatureStore, name: str) -> Statistics | None:
    """Read a whole feature array, a block of clips at a time; ``None`` where nothing is valid."""
    count = zeros = rows = 0
    total, low, high = 0.0, np.inf, -np.inf
    norms: list[NDArray[np.float64]] = []
    for first in range(0, store.info.clips, _READ_ROWS):
        span = slice(first, first + _READ_ROWS)
        valid = store.valid(name, span)
        steps = store.read(name, span)[valid].astype(np.float64)
        rows += int(valid.any(axis=1).sum())
        if steps.size:
            count, zeros, total = count + steps.size, zeros + int((steps == 0).sum()), total + float(steps.sum())
            low, high = min(low, float(steps.min())), max(high, float(steps.max()))
            norms.append(np.linalg.norm(steps, axis=1))
    if not count:
        return None
    counts, edges = np.histogram(np.concatenate(norms), bins=10)
    return Statistics(rows, low, total / count, high, zeros / count, edges, counts)


@dataclass(frozen=True)
class ClipView:
    """One clip in one array.

    Attributes:
        array: its name.
        status: how the clip ended there; ``pending`` where its shard is not committed.
        reason: in words.
        valid_steps: steps with values.
        steps: steps in all.
        mean: of the valid values; NaN without any.
        norm: mean L2 norm of the valid steps; NaN without any.
        head: the first values of the first valid step.
    """

    array: str
    status: str
    reason: str
    valid_steps: int
    steps: int
    mean: float
    norm: float
    head: tuple[float, ...]


def clip_views(store: FeatureStore, clip_id: str) -> list[ClipView]:
    """One clip across all feature arrays.

    Raises:
        InvalidInput: If the store has no such clip.
    """
    row = store.row_of(clip_id)
    return [_clip_view(store, name, row) for name in store.features]


def _clip_view(store: FeatureStore, name: str, row: int) -> ClipView:
    spec = store.spec(name)
    record = store.ledger(name).newest_of(row // store.info.shard_size)
    entry = record.entry(row) if record else None
    if entry is None:
        return ClipView(name, "pending", "its shard is not committed", 0, spec.steps, np.nan, np.nan, ())
    steps = store.read(name, [row])[0][store.valid(name, [row])[0]]
    mean, norm = (float(steps.mean()), float(np.linalg.norm(steps, axis=1).mean())) if steps.size else (np.nan, np.nan)
    head = tuple(float(value) for value in steps[0][:4]) if steps.size else ()
    return ClipView(name, entry.status, entry.reason, len(steps), spec.steps, mean, norm, head)
