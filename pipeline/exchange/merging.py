"""Merges stores that several machines made, and copies some clips of a store into a new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.same_media import check_same_media
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput, SchemaMismatch
from storage.layout.decoded import DecodedSpec
from storage.layout.metadata import spec_differences
from storage.ledger import Row, ShardRecord
from storage.schema import FeatureSpec, Provenance, Status
from storage.store import FeatureStore
from storage.writer import claim, commit_decoded, commit_features, write_decoded


@dataclass(frozen=True)
class Source:
    """One row of the new store in an old one."""

    store: FeatureStore
    row: int


@dataclass
class CombineReport:
    """What was copied.

    Attributes:
        clips: in the new store.
        rows: with features, by array.
    """

    clips: int = 0
    rows: dict[str, int] = field(default_factory=dict)


def merge(urls: Sequence[str], target: str, *, shard_size: int | None = None) -> CombineReport:
    """Put stores together. Where several hold a clip, the first that has its features gives them.

    Args:
        urls: stores with the same clip table, or with others: new clips come after those before.
        target: a new store, or one that a killed merge has begun.
        shard_size: of the new store; that of the first one if not given.

    Raises:
        SchemaMismatch: If a clip has two spans or two media files, clips differ in length, or an array was made in two
            ways.
    """
    stores = [FeatureStore.open(url) for url in urls]
    first = stores[0]
    for store in stores:
        if store.info.clip_seconds != first.info.clip_seconds:
            raise SchemaMismatch(f"{store.url}: clips of {store.info.clip_seconds} s, {first.url} has clips of "
                                 f"{first.info.clip_seconds} s")  # fmt: skip
    clips, sources = _union(stores)
    check_same_media(stores)
    return _copy(clips, sources, first, target, shard_size=shard_size)


def subset(url: str, target: str, *, keep: Callable[[Clip], bool], shard_size: int | None = None) -> CombineReport:
    """Some clips of a store, with all that it holds of them.

    Raises:
        InvalidInput: If no clip is left.
    """
    store = FeatureStore.open(url)
    chosen = [(clip, [Source(store, row)]) for row, clip in enumerate(store.clips) if keep(clip)]
    if not chosen:
        splits = sorted({clip.split for clip in store.clips if clip.split})
        raise InvalidInput(
            f"{url}: no clip is chosen of {store.info.clips}. Its splits are: {', '.join(splits) or 'none'}"
        )
    return _copy([clip for clip, _ in chosen], [found for _, found in chosen], store, target, shard_size=shard_size)


def _union(stores: Sequence[FeatureStore]) -> tuple[list[Clip], list[list[Source]]]:
    clips: list[Clip] = []
    sources: list[list[Source]] = []
    places: dict[str, int] = {}
    for store in stores:
        for row, clip in enumerate(store.clips):
            place = places.setdefault(clip.id, len(clips))
            if place == len(clips):
                clips.append(clip)
                sources.append([])
            known = clips[place]
            if (known.start_seconds, known.end_seconds) != (clip.start_seconds, clip.end_seconds):
                raise SchemaMismatch(
                    f"{store.url}: clip {clip.id!r} is [{clip.start_seconds:g}, {_end(clip)}), in a store before it is "
                    f"[{known.start_seconds:g}, {_end(known)})"
                )
            if (clip.split, clip.labels) != (known.split, known.labels):
                raise SchemaMismatch(
                    f"{store.url}: clip {clip.id!r} has another split or labels than in a store before"
                )
            sources[place].append(Source(store, row))
    return clips, sources


def _end(clip: Clip) -> str:
    return "end" if clip.end_seconds is None else f"{clip.end_seconds:g}"


def _copy(
    clips: list[Clip], sources: list[list[Source]], first: FeatureStore, target: str, *, shard_size: int | None
) -> CombineReport:
    stores = list(dict.fromkeys(source.store for found in sources for source in found))
    if any(store.root.url.rstrip("/") == str(target).rstrip("/") for store in stores):
        raise InvalidInput(f"{target}: is one of the stores to read. Give a new path")
    features, decoded = _feature_specs(stores), _decoded_specs(stores)
    table = ClipTable(clips, dataset=first.info.dataset, source=target)
    size = shard_size or min(first.info.shard_size, len(table))
    made = FeatureStore.open_or_create(target, table, clip_seconds=first.info.clip_seconds, shard_size=size)
    report = CombineReport(clips=len(table))
    for spec, provenance in features:
        made.ensure_feature(spec, provenance)
        report.rows[spec.name] = sum(_copy_features(made, spec, shard, sources) for shard in range(made.shards))
    for kept in decoded:
        made.ensure_decoded(kept)
        report.rows[f"decoded/{kept.name}"] = sum(
            _copy_decoded(made, kept, shard, sources) for shard in range(made.shards)
        )
    return report


def _feature_specs(stores: Sequence[FeatureStore]) -> list[tuple[FeatureSpec, Provenance]]:
    found: dict[str, tuple[FeatureStore, tuple[FeatureSpec, Provenance]]] = {}
    for store in stores:
        for name in store.features:
            here = store.spec(name), store.provenance(name)
            before = found.setdefault(name, (store, here))
            if differences := spec_differences(before[1], here):
                raise SchemaMismatch(
                    f"{store.url}: features/{name} was made otherwise than in {before[0].url}: {'; '.join(differences)}"
                )
    return [entry for _, entry in found.values()]


def _decoded_specs(stores: Sequence[FeatureStore]) -> list[DecodedSpec]:
    found: dict[str, DecodedSpec] = {}
    for store in stores:
        for name in store.decoded:
            here = store.decoded_spec(name)
            if found.setdefault(name, here) != here:
                raise SchemaMismatch(f"{store.url}: decoded/{name} was kept otherwise than in a store before")
    return list(found.values())


class _Entries:
    """Ledger rows of a store's array, a record read once."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str, int], ShardRecord | None] = {}

    def of(self, source: Source, array: str) -> Row | None:
        record = self.record(source, array)
        return record.entry(source.row) if record else None

    def record(self, source: Source, array: str) -> ShardRecord | None:
        shard = source.row // source.store.info.shard_size
        key = (source.store.url, array, shard)
        if key not in self._records:
            self._records[key] = source.store.ledger(array).newest_of(shard)
        return self._records[key]

    def circumstances(self, sources: Iterable[Source | None], array: str) -> Mapping[str, Any]:
        """What all these rows were made on; empty where that differs."""
        records = [self.record(source, array) for source in sources if source]
        found = [record.circumstances for record in records if record]
        return found[0] if found and all(one == found[0] for one in found) else {}


def _best(sources: Sequence[Source], array: str, entries: _Entries) -> tuple[Source | None, Row | None]:
    """The source that has a clip's features, else one that says why there are none."""
    said: tuple[Source | None, Row | None] = (None, None)
    for source in sources:
        entry = entries.of(source, array)
        if entry is not None and entry.stored:
            return source, entry
        if entry is not None and (said[1] is None or said[1].code is Status.PENDING):
            said = source, entry
    return said


def _pending(clip_id: str) -> Row:
    return Row(clip_id, Status.PENDING.label, "in none of the stores that were merged", attempt=0)


def _chosen(
    made: FeatureStore, array: str, shard: int, sources: list[list[Source]], entries: _Entries
) -> list[tuple[Source | None, Row]]:
    chosen = []
    for row in made.shard_rows(shard):
        source, entry = _best(sources[row], array, entries)
        chosen.append((source, replace(entry) if entry else _pending(made.ids[row])))
    return chosen


def _copy_features(made: FeatureStore, spec: FeatureSpec, shard: int, sources: list[list[Source]]) -> int:
    """Returns how many rows have features. A shard of which nothing is known stays undone."""
    entries = _Entries()
    chosen = _chosen(made, spec.name, shard, sources, entries)
    stored = sum(entry.stored for _, entry in chosen)
    if all(entry.code is Status.PENDING for _, entry in chosen) or made.ledger(spec.name).state(shard):
        return stored
    values = np.full((len(chosen), spec.steps, spec.dim), np.nan, dtype=spec.dtype)
    valid = np.zeros((len(chosen), spec.steps), dtype=bool)
    for store in {source.store for source, _ in chosen if source}:
        places = [at for at, (source, row) in enumerate(chosen) if source and source.store is store and row.stored]
        if places:
            rows = [source.row for at in places if (source := chosen[at][0])]
            values[places], valid[places] = store.read(spec.name, rows), store.valid(spec.name, rows)
    with claim(made, [spec.name], shard):
        commit_features(
            made,
            spec.name,
            shard,
            values=values,
            valid=valid,
            rows=[row for _, row in chosen],
            circumstances=entries.circumstances((source for source, row in chosen if row.stored), spec.name),
        )
    return stored


def _copy_decoded(made: FeatureStore, spec: DecodedSpec, shard: int, sources: list[list[Source]]) -> int:
    chosen = _chosen(made, spec.ledger_name, shard, sources, _Entries())
    stored = sum(entry.stored for _, entry in chosen)
    if all(entry.code is Status.PENDING for _, entry in chosen) or made.ledger(spec.ledger_name).state(shard):
        return stored
    companions: dict[str, NDArray[Any]] = {
        key: np.zeros((len(chosen), *shape), dtype=dtype) for key, (shape, dtype) in spec.companions.items()
    }
    with claim(made, [spec.ledger_name], shard):
        for at, (source, row) in enumerate(chosen):
            if source is None or not row.stored:
                continue
            span = range(source.row, source.row + 1)
            block = source.store.kept(spec.name, span)[0]
            write_decoded(made, spec, made.shard_rows(shard)[at], block)
            for key, companion in companions.items():
                companion[at] = source.store.kept(spec.name, span, key)[0]
        commit_decoded(made, spec, shard, companions=companions, rows=[row for _, row in chosen])
    return stored
