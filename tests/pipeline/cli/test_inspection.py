"""What status and inspect say of stores, of places without one, and of labels."""

import json

import numpy as np
import pytest

from pipeline.cli.extract_actions import _say_what_was_done
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import ExtractReport
from pipeline.synthetic.features import EASY, write_features
from storage.clips import Clip, ClipTable
from storage.errors import StoreError
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write_features(folder, count=6, difficulty=EASY)
    return folder


def test_labels_and_pseudo_labels_can_be_looked_at(made, avvp):
    code, out, _ = avvp("inspect", made / "features.zarr", "labels/glove")
    assert code == 0
    assert "made-up vectors in place of GloVe's" in out
    assert "Fire_alarm" in out
    code, out, _ = avvp("inspect", made / "features.zarr", "pseudo_labels/valor")
    assert code == 0
    assert "segments heard" in out
    code, _, err = avvp("inspect", made / "features.zarr", "labels/bert")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("asked", ["feature.zarr", "features.zar", "", "other.zarr"])
def test_the_nearest_store_is_suggested(made, avvp, asked):
    code, _, err = avvp("status", made / asked)
    assert (code, err.count("\n")) == (2, 1)
    assert f"no feature store here. Did you mean {made / 'features.zarr'}?" in err


def test_where_there_is_no_store_around_extract_is_named(tmp_path):
    with pytest.raises(StoreError, match="Give the path of a store, or make one"):
        FeatureStore.open(tmp_path / "none.zarr")
    for name in ("one.zarr", "two.zarr"):
        FeatureStore.create(tmp_path / name, ClipTable([Clip("a", "")]))
    with pytest.raises(StoreError, match=r"Did you mean .*two\.zarr\?"):
        FeatureStore.open(tmp_path / "tow.zarr")
    with pytest.raises(StoreError, match="make one: avvp extract"):
        FeatureStore.open(tmp_path / "qqqqqqqqqqqqqqqqqqq")


def test_failures_of_earlier_runs_are_told_apart(tmp_path, capsys):
    store = FeatureStore.create(tmp_path / "s.zarr", ClipTable([Clip("a", ""), Clip("b", "")]), shard_size=2)
    store.ensure_feature(FeatureSpec("net", 10, 2, "visual", 1.0), Provenance("net", "1", "random:0", {}, "uniform"))
    rows = [Row("a", "missing", "no such file"), Row("b", "ok", stored=True)]
    with claim(store, ["net"], 0):
        valid = np.array([[False] * 10, [True] * 10])
        values = np.where(valid[..., None], np.float32(0), np.float32(np.nan)).repeat(2, axis=2)
        commit_features(store, "net", 0, values=values, valid=valid, rows=rows)
    report = ExtractReport(shards={0}, read=1)
    assert _say_what_was_done(report, store.url, ExtractOptions(("net",))) == 3
    out = capsys.readouterr().out
    assert "0 failed now, 1 in earlier runs" in out
    assert f"avvp status {store.url}; --retry-failed redoes it" in out
    report.failed["a"] = ("missing", "no such file")
    assert _say_what_was_done(report, store.url, ExtractOptions(("net",))) == 3
    assert "1 failed, 0 with" in capsys.readouterr().out


def test_status_tells_how_many_clips_were_cut(tmp_path, avvp):
    clips = [Clip(name, f"/m/{name}.mp4") for name in "abc"]
    store = FeatureStore.create(tmp_path / "s.zarr", ClipTable(clips), shard_size=3)
    store.ensure_feature(FeatureSpec("net", 10, 2, "visual", 1.0), Provenance("net", "1", "random:0", {}, "uniform"))
    reason = "source is {} s; the first 10 s were used"
    rows = [Row("a", "ok", reason.format(12.5), stored=True), Row("b", "ok", reason.format(99.0), stored=True),
            Row("c", "ok", stored=True)]  # fmt: skip
    with claim(store, ["net"], 0):
        values = np.zeros((3, 10, 2), dtype=np.float32)
        commit_features(store, "net", 0, values=values, valid=np.ones((3, 10), dtype=bool), rows=rows)
    out = avvp("status", tmp_path / "s.zarr")[1]
    assert "2 clips: only the first 10 s used" in out
    assert "3 clips of 10 s in 1 shard\n" in out


def test_inspect_tells_what_shards_were_made_on(tmp_path, avvp):
    clips = [Clip(name, "") for name in "abc"]
    store = FeatureStore.create(tmp_path / "s.zarr", ClipTable(clips), shard_size=1)
    store.ensure_feature(FeatureSpec("net", 10, 2, "visual", 1.0), Provenance("net", "1", "random:0", {}, "uniform"))
    facts = {"device": "cpu", "cpu": "AVX2", "precision": "float32", "batch_units": 8}
    for shard, made in enumerate((facts, facts, None)):
        with claim(store, ["net"], shard):
            values, valid = np.zeros((1, 10, 2), dtype=np.float32), np.ones((1, 10), dtype=bool)
            rows = [Row(clips[shard].id, "ok", stored=True)]
            commit_features(store, "net", shard, values=values, valid=valid, rows=rows, circumstances=made)
    out = avvp("inspect", tmp_path / "s.zarr", "net")[1]
    assert "2 shards made on: AVX2 (cpu), float32, batches of 8\n1 shard made on: not recorded\n" in out
    found = json.loads(avvp("status", tmp_path / "s.zarr", "--json")[1])["arrays"]["net"]["made_on"]
    assert found == [{"shards": 2, "circumstances": facts}, {"shards": 1, "circumstances": {}}]
