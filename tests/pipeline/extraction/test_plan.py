import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode.fingerprint import clip_fingerprint
from pipeline.extraction.plan import make_plan
from storage.clips import ClipTable
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features


@pytest.fixture
def store(tmp_path):
    for number in range(5):
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / f"{number}.mp4").write_bytes(b"film %d" % number)
    table = ClipTable.load(tmp_path / "media")
    made = FeatureStore.create(tmp_path / "s.zarr", table, shard_size=2)
    for name in ("a", "b"):
        made.ensure_feature(FeatureSpec(name, 1, 1, "visual"), Provenance(name, "1", "random:0", {}, "uniform"))
    return made


def row_for(clip, *, stored=True, status="ok"):
    path = Path(clip.path)
    stat = path.stat() if path.exists() else None
    if stat is None:
        return Row(clip.id, "missing")
    if status == "timeout":
        return Row(clip.id, status)  # the worker was killed before it could say what it had read
    return Row(
        clip.id,
        status,
        stored=stored,
        clip_fingerprint=clip_fingerprint(clip),
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )


def commit(store, name, shard, *, failed=()):
    span = store.shard_rows(shard)
    rows = [
        row_for(store.clips[row], stored=row not in failed, status="timeout" if row in failed else "ok") for row in span
    ]
    with claim(store, [name], shard):
        commit_features(
            store, name, shard, values=np.ones((len(span), 1, 1), np.float32), valid=np.ones((len(span), 1), bool),
            rows=rows,
        )  # fmt: skip


def plan(store, *arrays, **kwargs):
    return make_plan(store, arrays, store.clips, fingerprint_of=clip_fingerprint, **kwargs)


def test_an_empty_store_needs_everything(store):
    made = plan(store, "a", "b")
    assert [task.shard for task in made.tasks] == [0, 1, 2]
    assert {array: list(rows) for array, rows in made.tasks[2].rows.items()} == {"a": [4], "b": [4]}
    assert made.clips == 5


def test_only_what_is_missing_is_planned(store):
    commit(store, "a", 0)
    commit(store, "a", 1)
    commit(store, "b", 1)
    made = plan(store, "a", "b")
    assert {task.shard: set(task.rows) for task in made.tasks} == {0: {"b"}, 2: {"a", "b"}}
    assert [task.shard for task in plan(store, "a", "b", shards=[1, 2]).tasks] == [2]


def test_failures_are_redone_only_when_asked(store):
    for shard in range(3):
        commit(store, "a", shard, failed={1, 4})
    assert plan(store, "a").tasks == ()
    retried = plan(store, "a", retry_failed=True)
    assert {task.shard: task.rows["a"] for task in retried.tasks} == {0: {1}, 2: {4}}
    assert retried.tasks[0].commits == {"a": 1}


def test_a_cut_off_overwrite_redoes_what_had_failed(store):
    commit(store, "a", 0, failed={1})
    store.ledger("a").announce(0, 2)
    assert plan(store, "a", shards=[0]).tasks[0].rows["a"] == {1}


def test_a_changed_file_is_read_again(store):
    for shard in range(3):
        commit(store, "a", shard)
    path = Path(store.clips[3].path)
    path.write_bytes(path.read_bytes() + b"!")
    made = plan(store, "a")
    assert [list(task.clips) for task in made.tasks] == [[3]]
    assert made.changed == ("3",)


def test_a_touched_or_removed_file_is_not(store):
    for shard in range(3):
        commit(store, "a", shard)
    os.utime(store.clips[0].path)
    Path(store.clips[1].path).unlink()
    assert plan(store, "a").tasks == ()


def test_a_missing_file_that_came_back_is_read(store):
    path = Path(store.clips[0].path)
    away = path.rename(path.with_suffix(".away"))
    commit(store, "a", 0, failed={0})
    assert plan(store, "a", shards=[0]).tasks == ()
    away.rename(path)
    assert list(plan(store, "a", shards=[0]).tasks[0].clips) == [0]
