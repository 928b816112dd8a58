"""A small store with features and a kept intermediate, made without decoding anything."""

import zlib

import numpy as np

from storage.clips import Clip, ClipTable
from storage.layout.decoded import DecodedSpec
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_decoded, commit_features, write_decoded

SPECS = (FeatureSpec("net", 6, 32, "visual", 0.5), FeatureSpec("ear", 3, 16, "audio", 1.0))
KEPT = DecodedSpec("frames", (2, 4, 4, 3), "uint8", {"valid": ((2,), "bool")}, {"frames_per_second": 1})
SHARD = 4


def origin(name, weights="random:0"):
    return Provenance(name, "1", weights, {"size": 8}, "uniform", created="2026-01-01")


def table(count=10, first=0):
    clips = [
        Clip(f"vid{i:08d}_{i}_{i + 10}", f"/m/{i}.mp4", i, i + 10, ("train", "val", "test")[i % 3], ("Dog",))
        for i in range(first, first + count)
    ]
    return ClipTable(clips, dataset="toy")


def values_of(clip_id, spec):
    seed = zlib.crc32(f"{clip_id}{spec.name}".encode())
    return np.maximum(np.random.default_rng(seed).standard_normal((spec.steps, spec.dim)), 0).astype(np.float32)


def fill(store, spec, shards=None, failed=()):
    for shard in range(store.shards) if shards is None else shards:
        ids = [store.ids[row] for row in store.shard_rows(shard)]
        values = np.stack([values_of(name, spec) for name in ids])
        rows = [Row(name, "ok", stored=True, clip_fingerprint=name) for name in ids]
        for at, name in enumerate(ids):
            if name in failed:
                values[at], rows[at] = np.nan, Row(name, "timeout", "no result within 60 s")
        with claim(store, [spec.name], shard):
            valid = ~np.isnan(values[..., 0])
            commit_features(
                store, spec.name, shard, values=values, valid=valid, rows=rows, circumstances={"device": "cpu"}
            )


def keep(store):
    store.ensure_decoded(KEPT)
    for shard in range(store.shards):
        span = store.shard_rows(shard)
        with claim(store, [KEPT.ledger_name], shard):
            for row in span:
                write_decoded(store, KEPT, row, np.full((2, 4, 4, 3), row + 1, np.uint8))
            commit_decoded(
                store, KEPT, shard, companions={"valid": np.ones((len(span), 2), bool)},
                rows=[Row(store.ids[row], "ok", stored=True) for row in span],
            )  # fmt: skip


def make(url, clips=None, *, shards=None, failed=(), kept=True, specs=SPECS):
    store = FeatureStore.create(str(url), clips or table(), shard_size=SHARD)
    for spec in specs:
        store.ensure_feature(spec, origin(spec.name))
        fill(store, spec, shards, failed)
    if kept:
        keep(store)
    return store
