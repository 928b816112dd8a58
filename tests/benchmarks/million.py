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

TIMED = 60
"""Commits that are timed: each into the full store, then one into an empty store of as many clips."""


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


def new_store(url: str, table: ClipTable, names: list[str], shard_size: int | None) -> FeatureStore:
    store = FeatureStore.open_or_create(url, table, shard_size=shard_size)
    for name in names:
        store.ensure_feature(FeatureSpec(name, 1, 4, "visual"), Provenance(name, "1", "random:0", {}, "uniform"))
    return store


def commits_in_turns(full: FeatureStore, empty: FeatureStore, name: str) -> tuple[float, float]:
    """Seconds of one of the last commits of a full store, and of a first one: in turns, since a disk's pace drifts."""
    late, early = [], []
    for turn in range(TIMED):
        late.append(timed(lambda turn=turn: commit(full, name, full.shards - TIMED + turn))[0])
        early.append(timed(lambda turn=turn: commit(empty, name, turn))[0])
    return median(late), median(early)


def main(clips: int, arrays: int, shard_size: int | None, work: str) -> dict[str, Any]:
    table_seconds, table = timed(
        lambda: ClipTable([Clip(f"clip{row:09d}", f"/nowhere/{row}.mp4", 0.0, 10.0) for row in range(clips)])
    )
    names = [f"net{number}" for number in range(arrays)]
    store = new_store(f"{work}/million.zarr", table, names, shard_size)
    empty_seconds, _ = timed(lambda: make_plan(store, names, table.clips, fingerprint_of=lambda clip: "x"))
    first, *others = names
    fsync, os.fsync = os.fsync, lambda descriptor: None
    for shard in range(store.shards - TIMED):
        commit(store, first, shard)
    for name in others:
        for shard in range(store.shards):
            commit(store, name, shard)
    os.fsync = fsync
    os.sync()  # or the first commit that is timed would write what the others left
    late, early = commits_in_turns(store, new_store(f"{work}/empty.zarr", table, names[:1], shard_size), first)
    store.save_summaries()
    fresh = FeatureStore.open(store.url, read_only=False)
    plan_seconds, plan = timed(lambda: make_plan(fresh, names, table.clips, fingerprint_of=lambda clip: "x"))
    status_seconds, found = timed(lambda: overview(FeatureStore.open(store.url)))
    if plan.tasks or any(array.stored != clips for array in found.arrays.values()):
        raise SystemExit("the store is not what was committed")
    return {
        "clips": clips, "arrays": arrays, "shards": store.shards, "table_s": table_seconds,
        "empty_plan_s": empty_seconds, "plan_s": plan_seconds, "status_s": status_seconds,
        "commit_first_ms": 1000 * early, "commit_last_ms": 1000 * late,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }  # fmt: skip


if __name__ == "__main__":
    request = {"clips": 1_000_000, "arrays": 6, "shard_size": None} | json.loads(sys.argv[1] if sys.argv[1:] else "{}")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(main(**request, work=folder)))
