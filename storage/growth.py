"""Appends clips to a store: rows that there are stay where they are, and what was made of them stays as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from storage.clips import Clip, ClipTable
from storage.errors import ClipTableError, SchemaMismatch
from storage.files.root import Root
from storage.labels import PSEUDO_LABELS, LabelStore
from storage.layout.arrays import clip_columns, creation_lock, group_bytes
from storage.layout.metadata import StoreInfo, read_info
from storage.shards.seal import Seal
from storage.store import FeatureStore
from storage.text import name_key

_PARTS = ("values", "valid", "status")


def append_clips(url: str, table: ClipTable) -> tuple[Clip, ...]:
    """Append the clips of a table that a store lacks, in the table's order.

    The root, which says how many clips there are, is put last: after a kill the store holds the clips that it held,
    and the same call goes on. Runs that are at work meanwhile finish the clips that they know of.

    Args:
        url: of the store.
        table: clips, some or all of which the store may have already.

    Returns:
        The clips that were appended.

    Raises:
        StoreError: If there is no store.
        SchemaMismatch: If a clip of the store has another span in the table.
        ClipTableError: If an id differs from one of the store in its Unicode normal form only.
    """
    root = FeatureStore.open(url).root
    with creation_lock(root):
        store = FeatureStore.open(url, read_only=False)
        new = _new_clips(store, table)
        if not new:
            return ()
        grown = ClipTable([*store.clips, *new], dataset=store.info.dataset, source=url)
        info = replace(
            store.info,
            clips=len(grown),
            clip_table_hash=grown.hash,
            grown_at=(*store.info.grown_at, store.info.clips),
        )
        _grow_pseudo_labels(store, info.clips)
        _grow_clips(store, grown)
        for name in store.features:
            paths = [f"features/{name}/{part}" for part in _PARTS]
            _grow_arrays(root, paths, clips=info.clips, ledger=f"ledger/{name}", beside=[f"features/{name}/zarr.json"])
        for name in store.decoded:
            spec = store.decoded_spec(name)
            paths = [f"decoded/{name}", *(f"decoded/{name}_{key}" for key in spec.companions)]
            _grow_arrays(root, paths, clips=info.clips, ledger=f"ledger/{spec.ledger_name}")
        _put_root(root, info)
    return new


def _new_clips(store: FeatureStore, table: ClipTable) -> tuple[Clip, ...]:
    known = {clip.id: clip for clip in store.clips}
    forms = {name_key(name): name for name in known}
    for clip in table:
        there = known.get(clip.id)
        if there is None and (same := forms.get(name_key(clip.id))):
            raise ClipTableError(
                f"{store.url}: has the clip {same!a}, {table.source} has {clip.id!a}: the same letters in another "
                "Unicode normal form. Write it as the store does"
            )
        if there and (there.start_seconds, there.end_seconds) != (clip.start_seconds, clip.end_seconds):
            raise SchemaMismatch(
                f"{store.url}: clip {clip.id!r} is [{there.start_seconds:g}, {there.end_seconds}) s, in {table.source} "
                f"[{clip.start_seconds:g}, {clip.end_seconds}). A clip's span cannot change; give it another id"
            )
    return tuple(clip for clip in table if clip.id not in known)


def _grow_pseudo_labels(store: FeatureStore, clips: int) -> None:
    """New clips have no pseudo labels: fill values say that they are not known."""
    labels = LabelStore(store.root, store.info)
    for teacher in labels.teachers:
        group = f"{PSEUDO_LABELS}/{teacher}"
        parts = [name for name in store.root.names(group) if name not in ("classes", "zarr.json")]
        beside = [key for key, _ in store.root.walk(group) if key.split("/")[2] not in parts or "/c/" in key]
        ledger = f"ledger/{PSEUDO_LABELS}.{teacher}"
        _grow_arrays(store.root, [f"{group}/{part}" for part in parts], clips=clips, ledger=ledger, beside=beside)


def _grow_clips(store: FeatureStore, table: ClipTable) -> None:
    """New chunks behind those that there are; what the columns hold of the old clips stays the same at each instant."""
    for name, column in clip_columns(table).items():
        array = store.array(f"clips/{name}")
        first = store.info.clips
        array.resize((len(table),))
        array[first:] = column[first:]
        for key, _ in store.root.walk(f"clips/{name}"):
            store.root.sync(key)


def _grow_arrays(root: Root, paths: Sequence[str], *, clips: int, ledger: str, beside: Sequence[str] = ()) -> None:
    """Say in the metadata of arrays that they have more rows. Files of rows that nobody has written need not exist."""
    for path in paths:
        key = f"{path}/zarr.json"
        body: dict[str, Any] = json.loads(root.read(key) or b"{}")
        body["shape"] = [clips, *body["shape"][1:]]
        root.put(key, json.dumps(body, indent=2).encode())
    Seal.of(root, [*(f"{path}/zarr.json" for path in paths), *beside]).put(root, ledger)


def _put_root(root: Root, info: StoreInfo) -> None:
    body = group_bytes(info.to_json())
    Seal.of(root, [key for key, _ in root.walk("clips")], {"zarr.json": body}).put(root, "ledger")
    root.put("zarr.json", body)
    if read_info(root) != info:
        raise SchemaMismatch(f"{root.url}: was written to by another process meanwhile. Run the command again")
