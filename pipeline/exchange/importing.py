"""Imports ``.npy`` features into a store, shard by shard; problems with files go to the ledger."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipeline.exchange.imported_shards import import_shard, imported_provenance
from pipeline.exchange.npy_layouts import LayoutPart
from pipeline.foreign_arrays import read_npy
from storage.clips import Clip
from storage.errors import InvalidInput
from storage.foreign_files import reading
from storage.ledger import Row
from storage.schema import FeatureSpec, Status
from storage.store import FeatureStore
from storage.tables.file_stems import FileStems

IMPORT_SHARD_SIZE = 1024
"""Clips a shard of a store that is made by an import: few files, and a killed import costs seconds."""

_SHARDS_AT_ONCE = 2
"""While one is synced to the disk, the next is read and encoded."""
_DECODER = f"numpy {np.__version__}"


@dataclass
class ImportReport:
    """Result of an import.

    Attributes:
        imported: rows written, by array.
        kept: rows that were there already, by array.
        failed: by array, ids and reasons of files that could not be used.
    """

    imported: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    failed: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)


def import_features(
    store: FeatureStore,
    folder: Path,
    parts: Sequence[LayoutPart],
    *,
    rebuild: bool = False,
    dtype: str = "float32",
    codec: str = "auto",
) -> ImportReport:
    """Fill arrays of a store from a folder. Files that are imported already and unchanged are skipped.

    Args:
        store: open for writing.
        folder: with the layout's files.
        parts: the layout.
        rebuild: replace arrays that came from elsewhere.
        dtype: ``float32`` or ``float16``, of new arrays.
        codec: of new arrays: ``auto``, ``blosc``, ``zstd`` or ``none``.

    Raises:
        InvalidInput: If there is no such folder, no file of an array in it, or two clips would share a file.
        SchemaMismatch: If the store has such an array from elsewhere.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder")
    report, stems = ImportReport(), FileStems(store.ids)
    importers = []
    for part in parts:
        for clip in chain.from_iterable(stems.shared.values()):
            find_file(part, folder, stems, clip)
        whole = _with_steps(part, folder, stems, parts)
        _check_grid(whole, store)
        origin = imported_provenance(whole.array, whole.pattern, folder)
        store.ensure_feature(whole.spec(dtype), origin, rebuild=rebuild, codec=codec)
        importers.append(_Importer(store, folder, whole, stems, report))
    with ThreadPoolExecutor(_SHARDS_AT_ONCE) as pool:
        list(pool.map(lambda task: task[0].import_shard(task[1]), product(importers, range(store.shards))))
    return report


def _with_steps(part: LayoutPart, folder: Path, stems: FileStems, parts: Sequence[LayoutPart]) -> LayoutPart:
    """A layout with its number of steps; a generic layout takes it from the first good file."""
    files = (file for clip in stems.ids if (file := find_file(part, folder, stems, clip)) is not None)
    first = next(files, None)
    if first is None:
        there = [other for other in parts if any(find_file(other, folder, stems, clip) for clip in stems.ids)]
        alone = " or ".join(f"'{other.as_option}'" for other in there)
        raise InvalidInput(
            f"{folder}: no file of {part.array} for any of the {len(stems.ids)} clips; expected {part.pattern} "
            f"with e.g. {stems.short(stems.ids[0])}"
            + (f". To import what is there, array by array: --layout {alone}" if there else "")
        )
    if part.steps:
        return part
    for file in (first, *files):
        try:
            found = read_npy(file, "not a .npy file", mmap_mode="r")
        except InvalidInput:  # its clip becomes a row of the ledger, with the reason
            continue
        if found.ndim in (1, 2) and found.shape[-1] == part.dim:
            return replace(part, steps=1 if found.ndim == 1 else int(found.shape[0]))
    raise InvalidInput(f"{folder}: no file of {part.array} has rows of {part.dim} values, e.g. {first}")


def _check_grid(part: LayoutPart, store: FeatureStore) -> None:
    """Refuse steps that would begin after the clip's end."""
    last = 0.0 if part.step_seconds is None else (part.steps - 1) * part.step_seconds
    if last >= store.info.clip_seconds:
        raise InvalidInput(
            f"{store.url}: {part.array} has {part.steps} steps of {part.step_seconds:g} s, but a clip lasts "
            f"{store.info.clip_seconds:g} s. Give the seconds between steps in --layout, or leave them out"
        )


def find_file(part: LayoutPart, folder: Path, stems: FileStems, clip: str) -> Path | None:
    """The file of a clip, by its id; see :meth:`FileStems.find`."""
    stem = stems.find(clip, lambda name: part.file(folder, name).exists(), where=folder)
    return None if stem is None else part.file(folder, stem)


class _Importer:
    """Imports one array shard by shard; reading, checking, encoding and writing overlap."""

    def __init__(
        self, store: FeatureStore, folder: Path, part: LayoutPart, stems: FileStems, report: ImportReport
    ) -> None:
        self._store = store
        self._folder = folder
        self._part = part
        self._stems = stems
        self._spec: FeatureSpec = store.spec(part.array)
        self._report = report
        self._clips = store.clips.clips
        self._nothing = np.full((self._spec.steps, self._spec.dim), np.nan, dtype=self._spec.dtype)
        self._counting = threading.Lock()
        self._failed: dict[int, list[tuple[str, str, str]]] = {}
        report.imported[part.array] = report.kept[part.array] = 0

    def import_shard(self, shard: int) -> None:
        """Import the files of a shard that are new or changed."""
        name, clips = self._part.array, [self._clips[row] for row in self._store.shard_rows(shard)]
        files = [find_file(self._part, self._folder, self._stems, clip.id) for clip in clips]
        done = import_shard(
            self._store, name, shard, unchanged=lambda at, before: _unchanged(before, files[at]),
            load=lambda at, before: self._load(clips[at], files[at], before),
        )  # fmt: skip
        with self._counting:
            self._report.kept[name] += done.kept
            self._report.imported[name] += done.stored
        self._failed[shard] = [(row.id, row.status, row.reason) for row in done.rows if row.failed]
        self._report.failed[name] = [entry for at in sorted(self._failed) for entry in self._failed[at]]

    def _load(self, clip: Clip, file: Path | None, before: Row | None) -> tuple[NDArray[Any], Row]:
        """A clip's values and its ledger row; NaN if the file cannot be used."""
        attempt = before.attempt + 1 if before else 1
        if file is None:
            tried = " or ".join(self._part.pattern.replace("{id}", stem) for stem in self._stems.possible(clip.id))
            return self._nothing, Row(clip.id, "missing", f"no {tried} in {self._folder}", attempt=attempt)
        facts: dict[str, Any] = {}
        try:
            data, stat = file.read_bytes(), file.stat()
            fingerprint = f"xxh3_128:{xxhash.xxh3_128_hexdigest(data)}"
            facts = {"clip_fingerprint": fingerprint, "size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
            values = checked(data, self._spec)
        except (OSError, InvalidInput) as problem:
            reason = f"{file.name}: {problem}"
            return self._nothing, Row(
                clip.id, Status.UNREADABLE.label, reason, attempt=attempt, decoder=_DECODER, **facts
            )
        return values, Row(clip.id, "ok", stored=True, attempt=attempt, decoder=_DECODER, **facts)


def _unchanged(before: Row | None, file: Path | None) -> bool:
    if before is None:
        return False
    if file is None:
        return before.code is Status.MISSING
    facts = file.stat()
    return (before.size_bytes, before.mtime_ns) == (
        facts.st_size,
        facts.st_mtime_ns,
    ) and before.code is not Status.PENDING


def checked(data: bytes, spec: FeatureSpec) -> NDArray[np.float32]:
    """The values of a ``.npy`` file, checked.

    Raises:
        InvalidInput: If it is empty or truncated, holds another shape, or numbers that are not finite in float32.
    """
    if not data:
        raise InvalidInput("is empty")
    array = _npy(data)
    shape = (spec.steps, spec.dim)
    if array.shape != shape and not (spec.steps == 1 and array.shape == (spec.dim,)):
        raise InvalidInput(f"has the shape {array.shape}, expected {shape}")
    if array.dtype.kind not in "fiu":
        raise InvalidInput(f"holds {array.dtype}, expected numbers")
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 becomes infinite, and is refused
        values = array.reshape(shape).astype(np.float32, copy=False)
    finite = np.isfinite(values)
    if not finite.all():
        wrong = array.size - int(finite.sum())
        raise InvalidInput(f"{wrong} of its {array.size} values are not finite")
    return values


def _npy(data: bytes) -> NDArray[Any]:
    """A view of the values in the bytes of a ``.npy`` file."""
    with reading("it", "not a .npy file", error=InvalidInput):
        shape, fortran_order, dtype, start = _header(data[: _header_bytes(data)])
        if dtype.hasobject:
            raise InvalidInput("holds Python objects, expected numbers")
        count = math.prod(shape)
        needed, there = count * dtype.itemsize, len(data) - start
        if there < needed:
            raise InvalidInput(f"is truncated: holds {there} bytes of {needed}")
        flat = np.frombuffer(data, dtype=dtype, count=count, offset=start)
        return flat.reshape(shape, order="F" if fortran_order else "C")


def _header_bytes(data: bytes) -> int:
    """Length of the header by its own length field; numpy checks the rest."""
    wide = data[6:7] != b"\x01"
    return (12 if wide else 10) + int.from_bytes(data[8 : 12 if wide else 10], "little")


@lru_cache(maxsize=64)
def _header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, dtype and offset of the values. Cached, because files of one folder share their header."""
    stream = io.BytesIO(header)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    return shape, fortran_order, dtype, stream.tell()


def failures(report: ImportReport) -> Iterator[tuple[str, str, str, str]]:
    """Array, clip, status and reason of every file that could not be imported."""
    for array, rows in report.failed.items():
        for clip, status, reason in rows:
            yield array, clip, status, reason
