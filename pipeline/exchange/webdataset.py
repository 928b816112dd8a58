"""Exports a store's features as WebDataset shards: tars in which a clip's arrays and facts lie side by side."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.exporting import Padding, npy_bytes, padded, place_beside, put_whole
from storage.clips import Clip
from storage.errors import InvalidInput
from storage.ledger import Row, ShardRecord
from storage.schema import Status
from storage.store import FeatureStore
from storage.text import count, visible

WEBDATASET = "webdataset"
TAR_NAME = "shard-{:06d}.tar"
FACTS_NAME = "arrays.json"
_BLOCK_ROWS = 64
"""Clips in memory at once."""


@dataclass
class WebDatasetReport:
    """What was written.

    Attributes:
        tars: how many.
        clips: samples in them.
        written: clips with values, by array.
        without: by array, ids of clips in the tars that have no features in it.
        left_out: ids of clips that have none in any array.
    """

    tars: int = 0
    clips: int = 0
    written: dict[str, int] = field(default_factory=dict)
    without: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def parse_webdataset(layout: str) -> tuple[str, ...] | None:
    """The arrays of ``webdataset`` (none: all) or ``webdataset:NAME,NAME``; ``None`` for another layout."""
    name, colon, arrays = layout.partition(":")
    if name != WEBDATASET:
        return None
    chosen = tuple(part for part in arrays.split(",") if part)
    if colon and not chosen:
        raise InvalidInput(f"--layout {layout!r}: expected webdataset, or webdataset:NAME,NAME with names of arrays")
    return chosen


def export_webdataset(
    store: FeatureStore,
    folder: Path,
    *,
    arrays: Sequence[str] = (),
    clips_per_tar: int | None = None,
    padding: Padding = "skip",
) -> WebDatasetReport:
    """Write tars ``shard-000000.tar`` and so on. Each is put whole; the same store gives the same bytes.

    A sample has ``KEY.ARRAY.npy`` (``[steps, dim]``), ``KEY.ARRAY.valid.npy`` (``[steps]`` bool) and ``KEY.json``.

    Args:
        store: to read.
        folder: made if absent.
        arrays: of the store; all if none are named.
        clips_per_tar: samples a tar; ``None`` for a tar a shard of the store.
        padding: ``skip``: an array without features is left out of its sample, and steps that are not valid are NaN;
            ``zero`` or ``nan``: every sample has every array, with this where it has no value.

    Raises:
        InvalidInput: If an array is not there, two of them would have one name, or tars of another export are there.
    """
    chosen = _arrays(store, arrays)
    report = WebDatasetReport(written=dict.fromkeys(chosen, 0))
    folder.mkdir(parents=True, exist_ok=True)
    reader = _Reader(store, chosen, padding, report)
    groups = _by_shard(reader) if clips_per_tar is None else _by_number(reader, clips_per_tar)
    for samples in groups:
        if (first := next(samples, None)) is not None:
            _put_tar(folder / TAR_NAME.format(report.tars), first, samples)
            report.tars += 1
    put_whole(folder / FACTS_NAME, _json(_facts(store, chosen)))
    _refuse_others(folder, report.tars)
    return report


def key_of(clip_id: str) -> str:
    """A clip's name in a tar. What WebDataset would cut or skip is written as in a URL: ``%2E`` for a dot."""
    text = "".join(f"%{ord(letter):02X}" if letter in "%." or ord(letter) < 32 else letter for letter in clip_id)
    if "" in text.split("/"):
        text = text.replace("/", "%2F")
    # WebDataset leaves out what looks like __this__.
    return "/".join(f"%5F{part[1:]}" if part.startswith("__") else part for part in text.split("/"))


@dataclass(frozen=True)
class _Sample:
    """The members of one clip, in order."""

    members: tuple[tuple[str, bytes], ...]


class _Reader:
    """Reads samples in row order."""

    def __init__(self, store: FeatureStore, arrays: Sequence[str], padding: Padding, report: WebDatasetReport) -> None:
        self.store = store
        self._arrays = arrays
        self._padding = padding
        self._report = report
        self._specs = {name: store.spec(name) for name in arrays}
        self._records: dict[str, tuple[int, ShardRecord | None]] = {}

    def samples(self, rows: range) -> Iterator[_Sample]:
        """The samples of these rows that have features."""
        for start in range(rows.start, rows.stop, _BLOCK_ROWS):
            block = range(start, min(start + _BLOCK_ROWS, rows.stop))
            span = slice(block.start, block.stop)
            values = {name: self.store.read(name, span) for name in self._arrays}
            valid = {name: self.store.valid(name, span) for name in self._arrays}
            for at, row in enumerate(block):
                masks = {name: mask[at] for name, mask in valid.items()}
                if any(mask.any() for mask in masks.values()):
                    yield self._sample(row, {name: part[at] for name, part in values.items()}, masks)
                else:
                    self._report.left_out.append(self.store.clips[row].id)

    def _sample(self, row: int, values: Mapping[str, NDArray[Any]], masks: Mapping[str, NDArray[np.bool_]]) -> _Sample:
        clip = self.store.clips[row]
        key, members = key_of(clip.id), []
        for name in self._arrays:
            if masks[name].any():
                self._report.written[name] += 1
            else:
                self._report.without.setdefault(name, []).append(clip.id)
            if self._padding != "skip" or masks[name].any():
                block = self._filled(values[name], masks[name])
                members += [
                    (f"{key}.{name}.npy", npy_bytes(block)),
                    (f"{key}.{name}.valid.npy", npy_bytes(masks[name])),
                ]
        entries = {name: self._entry(name, row) for name in self._arrays}
        members.append((f"{key}.json", _json(_clip_facts(clip, entries))))
        self._report.clips += 1
        return _Sample(tuple(members))

    def _filled(self, block: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
        return block if mask.all() else padded(block, mask, self._padding)

    def _entry(self, array: str, row: int) -> Row | None:
        """What the ledger says of a clip."""
        shard = row // self.store.info.shard_size
        known, record = self._records.get(array, (-1, None))
        if known != shard:
            record = self.store.ledger(array).newest_of(shard)
            self._records[array] = (shard, record)
        return record.entry(row) if record else None


def _by_shard(reader: _Reader) -> Iterator[Iterator[_Sample]]:
    for shard in range(reader.store.shards):
        yield reader.samples(reader.store.shard_rows(shard))


def _by_number(reader: _Reader, number: int) -> Iterator[Iterator[_Sample]]:
    """Groups of so many samples; each must be used up before the next one is asked for."""
    samples = reader.samples(range(len(reader.store.clips)))
    for first in samples:
        yield _some(first, samples, number)


def _some(first: _Sample, samples: Iterator[_Sample], number: int) -> Iterator[_Sample]:
    yield first
    for _ in range(number - 1):
        if (sample := next(samples, None)) is None:
            return
        yield sample


def _arrays(store: FeatureStore, names: Sequence[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(names)) or store.features
    absent = [name for name in chosen if name not in store.features]
    if absent or not chosen:
        there = ", ".join(store.features) or "none"
        raise InvalidInput(f"{store.url}: has no array {', '.join(absent) or 'to export'}; there are: {there}")
    lower: dict[str, str] = {}
    for name in chosen:
        if lower.setdefault(name.lower(), name) != name:
            both = f"{lower[name.lower()]} and {name}"
            raise InvalidInput(f"{both} are one name to WebDataset. Export them apart: --layout webdataset:{name}")
    return chosen


def _clip_facts(clip: Clip, entries: Mapping[str, Row | None]) -> dict[str, Any]:
    arrays = {
        name: {"status": Status.PENDING.label, "reason": ""}
        if entry is None
        else {"status": entry.status, "reason": entry.reason}
        for name, entry in entries.items()
    }
    return {
        "id": clip.id,
        "start_seconds": clip.start_seconds,
        "end_seconds": clip.end_seconds,
        "split": clip.split,
        "labels": list(clip.labels),
        "arrays": arrays,
    }


def _facts(store: FeatureStore, arrays: Sequence[str]) -> dict[str, Any]:
    """What the arrays are and were made with."""
    return {
        "dataset": store.info.dataset,
        "clip_seconds": store.info.clip_seconds,
        "arrays": {
            name: {
                "spec": store.spec(name).to_json(),
                "provenance": store.provenance(name).to_json(),
                "fingerprint": store.fingerprint(name),
            }
            for name in arrays
        },
    }


def _json(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _put_tar(target: Path, first: _Sample, more: Iterator[_Sample]) -> None:
    """Write a tar whole or not at all. Times and owners are zero, so that the same samples give the same bytes."""
    temporary = place_beside(target)
    try:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, first)
            for sample in more:
                _add(tar, sample)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _add(tar: tarfile.TarFile, sample: _Sample) -> None:
    for name, data in sample.members:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))


def _refuse_others(folder: Path, tars: int) -> None:
    """A pattern such as ``shard-*.tar`` would take tars of an earlier export too."""
    ours = {TAR_NAME.format(number) for number in range(tars)}
    others = sorted(path.name for path in folder.glob("shard-*.tar") if path.name not in ours)
    if others:
        raise InvalidInput(
            f"{visible(folder)}: {count(tars, 'tar')} written, but {visible(others[0])} is of another export. Remove "
            "what is not of this one, or choose another folder"
        )
