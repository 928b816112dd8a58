"""Compares a store's metadata with what the caller expects."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.clips import Clip, ClipTable
from storage.errors import SchemaMismatch, StoreError
from storage.files.root import Root
from storage.plain_fields import checked_fields
from storage.schema import SCHEMA_VERSION, FeatureSpec, Provenance
from storage.text import count, visible

_MOST_CLIPS = 2**32
"""More is damage, and would be asked of the memory."""


@dataclass(frozen=True)
class StoreInfo:
    """The attributes of a store's root.

    Attributes:
        schema_version: of the layout.
        dataset: a name for people.
        clips: number of rows.
        clip_table_hash: SHA-256 of ids and spans in order.
        clip_seconds: length of every clip, hence segments.
        shard_size: clips in a shard.
        grown_at: how many clips there were before each time that some were appended. Records of the shard in which that
            was name only the clips that there were.
    """

    schema_version: int
    dataset: str
    clips: int
    clip_table_hash: str
    clip_seconds: int
    shard_size: int
    grown_at: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the root's attributes; as they were before stores could grow, where this one has not."""
        plain = {**asdict(self), "grown_at": list(self.grown_at)}
        return plain if self.grown_at else {name: value for name, value in plain.items() if name != "grown_at"}


def read_info(root: Root) -> StoreInfo | None:
    """The attributes of a store's root; ``None`` if there is no store.

    Raises:
        StoreError: If it is some other Zarr group, or of another schema version.
    """
    data = root.read("zarr.json")
    if data is None:
        return None
    try:
        attributes = json.loads(data).get("attributes", {})
        if not attributes:
            return None  # a bare group, as a killed creation leaves it or zarr-python makes it
        facts = dict(checked_fields(StoreInfo, attributes["avvp"]))
        info = StoreInfo(**{**facts, "grown_at": tuple(map(int, facts.get("grown_at", ())))})
        if min(info.clips, info.clip_seconds, info.shard_size) < 1 or info.clips > _MOST_CLIPS:
            raise ValueError(f"clips {info.clips}, clip_seconds {info.clip_seconds}, shard_size {info.shard_size}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise StoreError(f"{root.url}: a Zarr group, but not a feature store of ours ({problem!r})") from problem
    if info.schema_version != SCHEMA_VERSION:
        raise StoreError(
            f"{root.url}: schema version {info.schema_version}, this release reads {SCHEMA_VERSION}. "
            "Use a matching release"
        )
    return info


def no_store(root: Root) -> StoreError:
    """The error for a place without a store: names the nearest store beside it, or in it, if there is one."""
    near = _nearest_store(Path(root.url)) if "://" not in root.url else None
    if near is not None:
        return StoreError(f"{root.url}: no feature store here. Did you mean {near}?")
    return StoreError(
        f"{root.url}: no feature store here. Give the path of a store, or make one: avvp extract --clips … --store …"
    )


def _nearest_store(asked: Path) -> Path | None:
    """Of the folders ``*.zarr`` that lie in ``asked`` or beside it, the one whose name is most alike."""
    inside = sorted(asked.glob("*.zarr")) if asked.is_dir() else []
    beside = sorted(asked.parent.glob("*.zarr")) if asked.parent.is_dir() else []
    stores = {place.name: place for place in (*beside, *inside) if (place / "zarr.json").is_file()}
    if inside_stores := [place for place in inside if place.name in stores]:
        return inside_stores[0]
    close = difflib.get_close_matches(asked.name, stores, n=1, cutoff=0.5)
    if close:
        return stores[close[0]]
    return next(iter(stores.values())) if len(stores) == 1 else None


def check_lengths(info: StoreInfo, *, url: str, clip_seconds: int, shard_size: int | None, clips: int) -> None:
    """Compare what a store was made with to what is asked for; a shard size of ``None`` fits every store.

    Raises:
        SchemaMismatch: If they differ.
    """
    if clip_seconds != info.clip_seconds:
        raise SchemaMismatch(
            f"{url}: holds clips of {info.clip_seconds} s, asked for {clip_seconds} s. Use a new store"
        )
    if shard_size is not None and info.shard_size not in (shard_size, min(shard_size, clips)):
        raise SchemaMismatch(
            f"{url}: has shards of {info.shard_size} clips, asked for {shard_size}. Leave --shard-size out"
        )


def in_row_order(stored: ClipTable, asked: ClipTable, *, url: str, has_grown: bool) -> ClipTable:
    """The clips of a table in the order of a store's rows.

    Only a store that has grown may hold them in another order than the table: a folder lists new files among the old.

    Raises:
        SchemaMismatch: If they are not the very same clips; the message says what to do.
    """
    known, now = {clip.id: clip for clip in stored}, {clip.id: clip for clip in asked}
    new, gone = [name for name in now if name not in known], [name for name in known if name not in now]
    pairs = [(clip, now[clip.id]) for clip in stored if clip.id in now]
    if not new and not gone and not has_grown:
        pairs = list(zip(stored, asked, strict=True))
    for row, (old, other) in enumerate(pairs):
        if (old.id, old.start_seconds, old.end_seconds) != (other.id, other.start_seconds, other.end_seconds):
            raise SchemaMismatch(
                f"{url}: row {row} is {_span(old)}, in {visible(asked.source)} it is {_span(other)}. "
                "Ask for the same clips, or use a new store"
            )
    if gone:
        raise SchemaMismatch(
            f"{url}: holds {count(len(stored), 'clip')}, {len(gone)} of which {visible(asked.source)} lacks, e.g. "
            f"{gone[0]!r}. Ask for the same clips, or use a new store"
        )
    if new:
        raise SchemaMismatch(
            f"{url}: holds {count(len(stored), 'clip')}, {visible(asked.source)} has {len(new)} more, e.g. {new[0]!r}. "
            f"Ask for the same clips (--split, --limit), or take in the new ones: avvp store append {url} "
            f"--clips {visible(asked.source)}"
        )
    return ClipTable([now[clip.id] for clip in stored], dataset=asked.dataset, source=asked.source)


def _span(clip: Clip) -> str:
    return f"{clip.id!r} [{clip.start_seconds:g}, {'end' if clip.end_seconds is None else f'{clip.end_seconds:g}'})"


def spec_differences(there: tuple[FeatureSpec, Provenance], asked: tuple[FeatureSpec, Provenance]) -> Sequence[str]:
    """What differs, each as ``field A, asked for B``; descriptions are not compared."""
    pairs: list[tuple[str, Any, Any]] = []
    for one, other in ((there[0].to_json(), asked[0].to_json()), (there[1].identity(), asked[1].identity())):
        pairs += [(name, one.get(name), value) for name, value in other.items() if name != "description"]
    return [f"{name} {old!r}, asked for {new!r}" for name, old, new in pairs if old != new]
