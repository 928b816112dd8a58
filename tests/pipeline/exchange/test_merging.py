"""Stores out of stores."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import toy_store as toy

from pipeline.cli.main import main
from pipeline.exchange.merging import merge, subset
from pipeline.exchange.verify import verify
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput, SchemaMismatch
from storage.schema import Status
from storage.store import FeatureStore
from storage.writer import claim, commit_features


def test_shards_of_two_machines_become_one_store(tmp_path):
    one = toy.make(tmp_path / "a.zarr", shards=[0], failed=[toy.table().ids[1]])
    two = toy.make(tmp_path / "b.zarr", shards=[1, 2], kept=False)
    whole = toy.make(tmp_path / "c.zarr", failed=[toy.table().ids[1]], kept=False)
    report = merge([one.url, two.url], str(tmp_path / "out.zarr"))
    assert report.rows == {"ear": 9, "net": 9, "decoded/frames": 10}
    made = FeatureStore.open(tmp_path / "out.zarr")
    np.testing.assert_array_equal(made.read("net"), whole.read("net"))
    assert made.status("net")[1] == Status.TIMEOUT
    assert [record.circumstances for record in made.ledger("net").newest().values()] == [{"device": "cpu"}] * 3
    np.testing.assert_array_equal(made.array("decoded/frames")[:], one.array("decoded/frames")[:])
    assert verify(made.url, deep=True).problems == []


def test_a_good_row_wins_over_a_failed_one(tmp_path):
    bad = toy.make(tmp_path / "a.zarr", failed=[toy.table().ids[1]], kept=False)
    good = toy.make(tmp_path / "b.zarr", kept=False)
    for number, order in enumerate(([bad.url, good.url], [good.url, bad.url])):
        merge(order, str(tmp_path / f"{number}.zarr"))
        np.testing.assert_array_equal(FeatureStore.open(tmp_path / f"{number}.zarr").read("net"), good.read("net"))


def test_other_clips_come_after(tmp_path):
    one = toy.make(tmp_path / "a.zarr", toy.table(5))
    two = toy.make(tmp_path / "b.zarr", toy.table(6, first=3))
    merge([one.url, two.url], str(tmp_path / "out.zarr"), shard_size=2)
    made = FeatureStore.open(tmp_path / "out.zarr")
    assert made.ids == toy.table(9).ids
    np.testing.assert_array_equal(made.read("ear")[:5], one.read("ear"))
    np.testing.assert_array_equal(made.read("ear")[3:], two.read("ear"))


def test_what_neither_has_stays_undone(tmp_path):
    one = toy.make(tmp_path / "a.zarr", shards=[0], kept=False)
    two = toy.make(tmp_path / "b.zarr", shards=[2], kept=False)
    merge([one.url, two.url], str(tmp_path / "out.zarr"), shard_size=3)
    made = FeatureStore.open(tmp_path / "out.zarr")
    assert made.status("net").tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 1, 1]
    assert verify(made.url, deep=True).problems == []


def test_conflicts_are_errors(tmp_path):
    one = toy.make(tmp_path / "a.zarr", kept=False)
    clips = list(toy.table().clips)
    clips[3] = Clip(clips[3].id, clips[3].path, 99, 109, clips[3].split, clips[3].labels)
    two = toy.make(tmp_path / "b.zarr", ClipTable(clips), kept=False)
    with pytest.raises(SchemaMismatch, match=r"b\.zarr: clip 'vid00000003_3_13' is \[99, 109\), .* is \[3, 13\)"):
        merge([one.url, two.url], str(tmp_path / "out.zarr"))
    other = FeatureStore.create(str(tmp_path / "c.zarr"), toy.table(), shard_size=4)
    other.ensure_feature(toy.SPECS[0], toy.origin("net", weights="random:1"))
    toy.fill(other, toy.SPECS[0])
    with pytest.raises(SchemaMismatch, match=r"weights 'random:0', asked for 'random:1'|weights"):
        merge([one.url, other.url], str(tmp_path / "out.zarr"))
    assert not (tmp_path / "out.zarr").exists()
    with pytest.raises(InvalidInput, match="is one of the stores to read"):
        merge([one.url], one.url)


def other_media(url, *, ids, array, specs, source="media"):
    """A store whose rows of these clips come from other files."""
    store = FeatureStore.create(str(url), toy.table(), shard_size=4)
    for spec in specs:
        store.ensure_feature(spec, replace(toy.origin(spec.name), source=source))
        toy.fill(store, spec)
    for shard in range(store.shards):
        record = store.ledger(array).newest()[shard]
        rows = [replace(row, clip_fingerprint="elsewhere") if row.id in ids else row for row in record.rows]
        with claim(store, [array], shard):
            values, valid = store.read(array, store.shard_rows(shard)), store.valid(array, store.shard_rows(shard))
            commit_features(store, array, shard, values=values, valid=valid, rows=rows)
    return store


def test_one_id_of_two_media_is_refused(tmp_path):
    net, ear = toy.SPECS
    ids = toy.table().ids
    one = toy.make(tmp_path / "a.zarr", kept=False, specs=[net])
    same_array = other_media(tmp_path / "b.zarr", ids=ids[1:6], array="net", specs=[net])
    with pytest.raises(SchemaMismatch, match=rf"^5 clips \('{ids[1]}', '{ids[2]}', '{ids[3]}', …\) .*a\.zarr \(net\)"):
        merge([one.url, same_array.url], str(tmp_path / "out.zarr"))
    another_array = other_media(tmp_path / "c.zarr", ids=ids[2:3], array="ear", specs=[ear])
    with pytest.raises(SchemaMismatch, match=rf"^1 clip \('{ids[2]}'\) .*a\.zarr \(net\) and in .*c\.zarr \(ear\)"):
        merge([one.url, another_array.url], str(tmp_path / "out.zarr"))
    assert not (tmp_path / "out.zarr").exists()


def test_fingerprints_of_imported_files_are_those_of_an_array(tmp_path):
    net, ear = toy.SPECS
    one = toy.make(tmp_path / "a.zarr", kept=False, specs=[net])
    npy = other_media(tmp_path / "b.zarr", ids=toy.table().ids, array="ear", specs=[ear], source="imported")
    assert merge([one.url, npy.url], str(tmp_path / "out.zarr")).rows == {"net": 10, "ear": 10}


def test_media_of_a_clip_that_failed_does_not_count(tmp_path):
    bad = toy.make(tmp_path / "a.zarr", failed=[toy.table().ids[1]], kept=False, specs=toy.SPECS[:1])
    good = other_media(tmp_path / "b.zarr", ids=[toy.table().ids[1]], array="net", specs=toy.SPECS[:1])
    assert merge([bad.url, good.url], str(tmp_path / "out.zarr")).rows == {"net": 10}


def test_a_merge_goes_on_after_a_kill(tmp_path):
    one = toy.make(tmp_path / "a.zarr")
    merge([one.url], str(tmp_path / "out.zarr"))
    shutil.rmtree(tmp_path / "out.zarr/ledger/net")
    shutil.rmtree(tmp_path / "out.zarr/features/net")
    merge([one.url], str(tmp_path / "out.zarr"))
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "out.zarr").read("net"), one.read("net"))


def test_subset_by_split_and_by_ids(tmp_path, capsys):
    store = toy.make(tmp_path / "a.zarr", failed=[toy.table().ids[2]])
    with pytest.raises(SystemExit) as ended:
        main(["store", "subset", store.url, str(tmp_path / "test.zarr"), "--split", "test"])
    assert ended.value.code == 0
    made = FeatureStore.open(tmp_path / "test.zarr")
    rows = [row for row, clip in enumerate(store.clips) if clip.split == "test"]
    np.testing.assert_array_equal(made.read("net"), store.read("net", rows))
    assert made.clips.clips == tuple(store.clips[row] for row in rows)
    assert verify(made.url, deep=True).problems == []
    (tmp_path / "ids.txt").write_text(f"{store.ids[7]}\n\n{store.ids[0]}\nnobody\n")
    with pytest.raises(SystemExit) as ended:
        main(["store", "subset", store.url, str(tmp_path / "x.zarr"), "--ids", str(tmp_path / "ids.txt")])
    assert ended.value.code == 2
    assert "line 4" in capsys.readouterr().err
    with pytest.raises(InvalidInput, match=r"no clip is chosen.*splits are"):
        subset(store.url, str(tmp_path / "y.zarr"), keep=lambda clip: False)


def test_what_failed_is_told_and_the_new_store_comes_last(tmp_path, capsys):
    one = toy.make(tmp_path / "a.zarr", shards=[0], failed=[toy.table().ids[1]])
    two = toy.make(tmp_path / "b.zarr", shards=[1, 2])
    target = str(tmp_path / "out.zarr")
    with pytest.raises(SystemExit) as ended:
        main(["store", "merge", target, one.url, two.url])
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith(f"{two.url} is one. The new store comes last: avvp store merge STORE… OUT")
    with pytest.raises(SystemExit) as ended:
        main(["store", "merge", one.url, two.url, target])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1 clip failed, as before. Why: avvp status {target}"
