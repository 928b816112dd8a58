"""Imports AVE's published HDF5 features into a store, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipeline.datasets.ave import EVERYTHING
from pipeline.datasets.dataset_description import load_description
from pipeline.exchange.ave_rows import KEY, NOISY_LABELS, AVERow, AVERows, read_rows
from pipeline.exchange.hdf5_arrays import HDF5Rows, check_shape, opened, rows_in
from pipeline.exchange.imported_shards import ImportedShard, import_shard, imported_provenance
from pipeline.exchange.importing import ImportReport
from storage.errors import InvalidInput
from storage.foreign_files import reason_of
from storage.ledger import Row
from storage.schema import FeatureSpec, Modality, Status
from storage.store import FeatureStore

AVE_LAYOUT = "ave-eccv18"
AVE_SHARD_SIZE = 128
"""Clips a shard: a clip of VGG-19's maps takes a megabyte."""


@dataclass(frozen=True)
class AVEPart:
    """One array.

    Attributes:
        array: its name in the store.
        file: of all clips.
        noisy_files: possible names of the file of clips without an event.
        row: shape of a clip.
        modality: of the features.
        description: one line for people.
    """

    array: str
    file: str
    noisy_files: tuple[str, ...]
    row: tuple[int, ...]
    modality: Modality
    description: str

    def spec(self, dtype: str) -> FeatureSpec:
        """As the store describes it: the channels of a position stay together."""
        dim = prod(self.row[1:])
        return FeatureSpec(self.array, self.row[0], dim, self.modality, 1.0, dtype, self.description)  # type: ignore[arg-type]

    def noisy_file(self, folder: Path) -> Path | None:
        """The file of clips without an event, if it is there."""
        return next((folder / name for name in self.noisy_files if (folder / name).is_file()), None)


PARTS = (
    AVEPart("vggish", "audio_feature.h5", ("audio_feature_noisy.h5",), (10, 128), "audio", "VGGish, as published"),
    AVEPart(
        "vgg19_pool5", "visual_feature.h5", ("visual_feature_noisy.h5", "video_feature_noisy.h5"), (10, 7, 7, 512),
        "visual", "VGG-19 pool5 maps, 7 x 7 x 512, as published",
    ),
)  # fmt: skip


def read_ave_folder(folder: Path, *, clips: str | None = None) -> AVERows:
    """Check the files' shapes and read the labels.

    Args:
        folder: with ``audio_feature.h5``, ``visual_feature.h5`` and the label files.
        clips: ``Annotations.txt`` or a folder with it; taken from ``folder`` if not given and there.

    Raises:
        InvalidInput: If a file is absent or malformed, or files do not fit each other; one line.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder")
    counts = {part.file: _rows_of(part, folder / part.file) for part in PARTS}
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{file} {count}" for file, count in counts.items())
        raise InvalidInput(f"{folder}: the files have different numbers of rows: {said}")
    noisy, notes = _noisy_count(folder)
    found = read_rows(
        folder, next(iter(counts.values())), load_description("ave"), annotations=_annotations(folder, clips),
        noisy=noisy,
    )  # fmt: skip
    return AVERows(found.rows, found.dataset, (*found.notes, *notes))


def _annotations(folder: Path, clips: str | None) -> Path | None:
    if clips is None:
        beside = folder / EVERYTHING
        return beside if beside.is_file() else None
    given = Path(clips).expanduser()
    file = given / EVERYTHING if given.is_dir() else given
    if not file.is_file():
        raise InvalidInput(f"--clips {clips}: no such file. Give {EVERYTHING} or its folder")
    return file


def _rows_of(part: AVEPart, file: Path) -> int:
    with opened(file, KEY) as array:
        check_shape(file, KEY, tuple(array.shape), (*array.shape[:1], *part.row))
        return int(array.shape[0])


def _noisy_count(folder: Path) -> tuple[int, list[str]]:
    """Number of clips without an event, and a note if some of their files are absent."""
    files = {part.array: part.noisy_file(folder) for part in PARTS}
    there = {array: file for array, file in files.items() if file is not None}
    if not there:
        return 0, []
    if len(there) < len(PARTS):
        absent = next(part.noisy_files[0] for part in PARTS if part.array not in there)
        return 0, [f"clips without an event are left out: {absent} is not there"]
    counts = {_rows_of(part, there[part.array]) for part in PARTS}
    if (folder / NOISY_LABELS).is_file():
        counts.add(rows_in(folder / NOISY_LABELS, KEY))
    if len(counts) != 1:
        raise InvalidInput(f"{folder}: the files of clips without an event have different numbers of rows: {counts}")
    return counts.pop(), []


def import_ave(
    store: FeatureStore, folder: Path, rows: Sequence[AVERow], *, rebuild: bool = False, dtype: str = "float32",
    codec: str = "auto",
) -> ImportReport:  # fmt: skip
    """Fill ``vggish`` and ``vgg19_pool5``. Rows of a file that has not changed are skipped.

    Args:
        store: open for writing, its clips those of ``rows``.
        folder: see :func:`read_ave_folder`.
        rows: what it gave.
        rebuild: replace arrays that came from elsewhere.
        dtype: ``float32`` or ``float16``, of new arrays.
        codec: of new arrays.

    Raises:
        InvalidInput: If a file cannot be read.
        SchemaMismatch: If the store has such an array from elsewhere.
    """
    report = ImportReport()
    for part in PARTS:
        origin = imported_provenance(part.array, part.file, folder)
        store.ensure_feature(part.spec(dtype), origin, rebuild=rebuild, codec=codec)
        files = [folder / part.file]
        if any(row.noisy for row in rows) and (noisy := part.noisy_file(folder)) is not None:
            files.append(noisy)
        with ExitStack() as stack:
            sources = [_Source(file, HDF5Rows(stack.enter_context(opened(file, KEY)))) for file in files]
            _import_part(store, part.array, rows, sources, report)
    return report


class _Source:
    """A file, its rows, and the facts by which a change of it is seen."""

    def __init__(self, file: Path, rows: HDF5Rows) -> None:
        stat = file.stat()
        self.name, self.rows = file.name, rows
        self.size_bytes, self.mtime_ns = stat.st_size, stat.st_mtime_ns

    def unchanged(self, before: Row | None) -> bool:
        """Whether a row of the ledger is of this file."""
        if before is None:
            return False
        same = (before.size_bytes, before.mtime_ns) == (self.size_bytes, self.mtime_ns)
        return same and before.code is not Status.PENDING


def _import_part(
    store: FeatureStore, name: str, rows: Sequence[AVERow], sources: Sequence[_Source], report: ImportReport
) -> None:  # fmt: skip
    report.imported[name] = report.kept[name] = 0
    report.failed[name] = []
    for shard in range(store.shards):
        chosen = [(rows[at], sources[int(rows[at].noisy)]) for at in store.shard_rows(shard)]
        done = _import_shard(store, name, shard, chosen)
        report.kept[name] += done.kept
        report.imported[name] += done.stored
        report.failed[name] += [(row.id, row.status, row.reason) for row in done.rows if row.failed]


def _import_shard(
    store: FeatureStore, name: str, shard: int, chosen: Sequence[tuple[AVERow, _Source]]
) -> ImportedShard:  # fmt: skip
    spec = store.spec(name)
    return import_shard(
        store, name, shard, unchanged=lambda at, before: chosen[at][1].unchanged(before),
        load=lambda at, before: _load(*chosen[at], spec, before),
    )  # fmt: skip


def _load(row: AVERow, source: _Source, spec: FeatureSpec, before: Row | None) -> tuple[NDArray[Any], Row]:
    """A clip's values and its ledger row; NaN if the file cannot be used."""
    import h5py

    facts: dict[str, Any] = {
        "attempt": before.attempt + 1 if before else 1, "decoder": f"h5py {h5py.__version__}",
        "size_bytes": source.size_bytes, "mtime_ns": source.mtime_ns,
    }  # fmt: skip
    reason = ""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            values = source.rows[row.index].reshape(spec.steps, spec.dim).astype(np.float32)
        if not (finite := np.isfinite(values)).all():
            reason = f"{values.size - int(finite.sum())} of its {values.size} values are not finite"
    except OSError as problem:
        reason = reason_of(problem)
    if reason:
        nothing = np.full((spec.steps, spec.dim), np.nan, dtype=spec.dtype)
        said = f"{source.name}: row {row.index}: {reason}"
        return nothing, Row(row.id, Status.UNREADABLE.label, said, **facts)
    facts["clip_fingerprint"] = f"xxh3_128:{xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values).data)}"
    return values, Row(row.id, "ok", stored=True, **facts)
