"""A store of many clips: what a plan, a status and a commit cost, by how much is there already.

    python tests/benchmarks/million.py '{"clips": 1000000, "arrays": 6}'

Features are made up and small, so that the ledger and not the disk is measured. Shards are committed as any run commits
them; only the fsync of each file is left out while the store is filled.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from pipeline.extraction.plan import make_plan
from pipeline.inspection.status import overview
from storage.clips import Clip, ClipTable
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features

TIMED = 40
"""Commits that are timed at the beginning, and again at the end."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def commit(store: FeatureStore, name: str, shard: int) -> None:
    span = store.shard_rows(shard)
    rows = [Row(store.ids[row], "ok", stored=True, clip_fingerprint="0" * 64, size_bytes=1, mtime_ns=1) for row in span]
    values = np.ones((len(span), 1, 4), dtype=np.float32)
    with claim(store, [name], shard):
        commit_features(store, name, shard, values=values, valid=np.ones((len(span), 1), dtype=bool), rows=rows)


def measured(store: FeatureStore, name: str, shards: range) -> list[float]:
    return [timed(lambda shard=shard: commit(store, name, shard))[0] for shard in shards]


def main(clips: int, arrays: int, shard_size: int | None, work: str) -> dict[str, Any]:
    table_seconds, table = timed(
        lambda: ClipTable([Clip(f"clip{row:09d}", f"/nowhere/{row}.mp4", 0.0, 10.0) for row in range(clips)])
    )
    store = FeatureStore.open_or_create(f"{work}/million.zarr", table, shard_size=shard_size)
    names = [f"net{number}" for number in range(arrays)]
    for name in names:
        store.ensure_feature(FeatureSpec(name, 1, 4, "visual"), Provenance(name, "1", "random:0", {}, "uniform"))
    empty_seconds, _ = timed(lambda: make_plan(store, names, table.clips, fingerprint_of=lambda clip: "x"))
    first, *others = names
    early = measured(store, first, range(TIMED))
    fsync, os.fsync = os.fsync, lambda descriptor: None
    for shard in range(TIMED, store.shards - TIMED):
        commit(store, first, shard)
    for name in others:
        for shard in range(store.shards):
            commit(store, name, shard)
    os.fsync = fsync
    os.sync()  # or the first commit that is timed would write what the others left
    late = measured(store, first, range(store.shards - TIMED, store.shards))
    if hasattr(store, "save_summaries"):
        store.save_summaries()
    fresh = FeatureStore.open(store.url, read_only=False)
    plan_seconds, plan = timed(lambda: make_plan(fresh, names, table.clips, fingerprint_of=lambda clip: "x"))
    status_seconds, found = timed(lambda: overview(FeatureStore.open(store.url)))
    if plan.tasks or any(array.stored != clips for array in found.arrays.values()):
        raise SystemExit("the store is not what was committed")
    return {
        "clips": clips, "arrays": arrays, "shards": store.shards, "table_s": table_seconds,
        "empty_plan_s": empty_seconds, "plan_s": plan_seconds, "status_s": status_seconds,
        "commit_first_ms": 1000 * median(early), "commit_last_ms": 1000 * median(late),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }  # fmt: skip


if __name__ == "__main__":
    request = {"clips": 1_000_000, "arrays": 6, "shard_size": None} | json.loads(sys.argv[1] if sys.argv[1:] else "{}")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(main(**request, work=folder)))
