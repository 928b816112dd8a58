"""Exports a store's features as ``.npy`` folders of a published layout."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.npy_layouts import STEM, LayoutPart
from storage.errors import InvalidInput
from storage.store import FeatureStore
from storage.tables.file_stems import FileStems

Padding = Literal["skip", "zero", "nan"]


@dataclass
class ExportReport:
    """What was written.

    Attributes:
        written: files, by array.
        replaced: of these, files that were there before.
        padded: of these, files with steps that the clip does not have.
        skipped: by array, ids of clips that have no features, or not all steps.
    """

    written: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    padded: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)


def export_features(
    store: FeatureStore, folder: Path, parts: Sequence[LayoutPart], *, padding: Padding = "skip"
) -> ExportReport:
    """Write a file a clip. Files are put whole: a killed export leaves no half file.

    Args:
        store: to read.
        folder: made if absent.
        parts: the layout; arrays that the store lacks are an error only if it has none of them.
        padding: what becomes of clips that lack some steps: left out, or filled with zeros or NaN.

    Raises:
        InvalidInput: If the store has none of the layout's arrays, or two clips would share a file.
        SchemaMismatch: If an array has another shape than the layout says.
    """
    there = [part for part in parts if part.array in store.features]
    if not there:
        names = ", ".join(part.array for part in parts)
        raise InvalidInput(f"{store.url}: has none of {names}; there are {', '.join(store.features) or 'no features'}")
    _check_shapes(store, there)
    stems = _stems(store)
    report = ExportReport()
    for part in there:
        for shard in range(store.shards):
            _export_shard(store, folder, part, shard, stems, padding, report)
    return report


def _check_shapes(store: FeatureStore, parts: Sequence[LayoutPart]) -> None:
    for part in parts:
        spec = store.spec(part.array)
        if spec.dim != part.dim or part.steps not in (0, spec.steps):
            expected = f"{part.steps or 'any'}x{part.dim}"
            own = replace(part, pattern=f"{part.array}/{STEM}.npy", steps=spec.steps, dim=spec.dim)
            raise InvalidInput(
                f"{store.url}: {part.array} is {spec.steps}x{spec.dim}, the layout has {expected}. "
                f"Export it as it is: --layout '{own.as_option}'"
            )


def _stems(store: FeatureStore) -> list[str]:
    """File names by row: the ids, or YouTube's where the clips are LLP's."""
    names = FileStems(store.ids)
    names.refuse_shared(names.shared, where=store.url, remedy="Export them apart: avvp store subset")
    stems = [names.short(clip) for clip in store.ids]
    if any("/" in stem or stem in ("", ".", "..") for stem in stems):
        raise InvalidInput(f"{store.url}: clip ids with slashes cannot be file names of this layout")
    return stems


def _export_shard(
    store: FeatureStore, folder: Path, part: LayoutPart, shard: int, stems: Sequence[str], padding: Padding,
    report: ExportReport,
) -> None:  # fmt: skip
    span = slice(store.shard_rows(shard).start, store.shard_rows(shard).stop)
    values, valid = store.read(part.array, span), store.valid(part.array, span)
    report.written.setdefault(part.array, 0)
    for at, (row, mask) in enumerate(zip(store.shard_rows(shard), valid, strict=True)):
        if not mask.any() or (padding == "skip" and not mask.all()):
            report.skipped.setdefault(part.array, []).append(store.ids[row])
            continue
        block = values[at]
        if not mask.all():
            block = padded(block, mask, padding)
            report.padded[part.array] = report.padded.get(part.array, 0) + 1
        target = part.file(folder, stems[row])
        target.parent.mkdir(parents=True, exist_ok=True)
        report.replaced[part.array] = report.replaced.get(part.array, 0) + target.exists()
        put_whole(target, npy_bytes(block))
        report.written[part.array] += 1


def padded(block: NDArray[Any], mask: NDArray[np.bool_], padding: Padding) -> NDArray[Any]:
    """A clip's ``[steps, dim]`` with zeros, or else NaN, at the steps that are not valid."""
    return np.where(mask[:, None], block, block.dtype.type(0 if padding == "zero" else np.nan))


def npy_bytes(block: NDArray[Any]) -> bytes:
    """The bytes of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(block), allow_pickle=False)
    return stream.getvalue()


def put_whole(target: Path, data: bytes) -> None:
    """Write a file so that readers see all of it or none."""
    temporary = place_beside(target)
    temporary.write_bytes(data)
    temporary.replace(target)


def place_beside(target: Path) -> Path:
    """Where this process writes a file until it is whole."""
    return target.with_name(f".{target.name}.{os.getpid()}.partial")
