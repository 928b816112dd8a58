"""Whole files in a wrong place: every chunk's checksum is right, and none of it is what was committed there."""

import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
import toy_store as toy

from pipeline.exchange.repair import mark_rows
from pipeline.exchange.verify import verify
from storage.errors import StoreError
from storage.files.checked_json import pack, unpack
from storage.ledger import Row
from storage.store import FeatureStore
from storage.writer import claim, commit_features

NET = toy.SPECS[0]


@pytest.fixture
def store(tmp_path):
    return toy.make(tmp_path / "s.zarr", failed=[toy.table().ids[0], toy.table().ids[5]])


def exchange(one, other):
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def commit(store, shard, values):
    ids = [store.ids[row] for row in store.shard_rows(shard)]
    rows = [Row(name, "ok", stored=True, clip_fingerprint=name) for name in ids]
    with claim(store, ["net"], shard):
        commit_features(store, "net", shard, values=values, valid=np.ones(values.shape[:2], bool), rows=rows)


def test_shards_of_one_size_that_were_exchanged(store):
    values = Path(store.url) / "features/net/values/c"
    exchange(values / "0/0/0", values / "1/0/0")
    with pytest.raises(StoreError, match=r"^row 1: .*features/net/values: is not what was committed here\. Run: avvp"):
        store.read("net", [1])
    for look in (False, True):
        problems = [problem for problem in verify(store.url, deep=look).problems if problem.shard == 0]
        assert all(problem.where == "features/net" for problem in problems)
        expected = "whole row, but not the one that was written" if look else "holds other rows than were written"
        assert expected in problems[0].cause
    mark_rows(store.url, verify(store.url).problems)
    assert verify(store.url).problems == []
    assert not FeatureStore.open(store.url).committed("net")[:8].any()


@pytest.mark.parametrize("part", ["valid", "status"])
def test_masks_that_were_exchanged(store, part):
    files = Path(store.url) / "features/net" / part / "c"
    exchange(*([files / "0/0", files / "1/0"] if part == "valid" else [files / "0", files / "1"]))
    with pytest.raises(StoreError, match=rf"^file 0: .*features/net/{part}: is not what was committed here"):
        store.valid("net") if part == "valid" else store.status("net")


def test_an_older_version_of_a_shard(store, tmp_path):
    file = Path(store.url) / "features/net/values/c/1/0/0"
    shutil.copy(file, tmp_path / "old")
    span = store.shard_rows(1)
    commit(store, 1, np.stack([toy.values_of(store.ids[row], NET) for row in span]) + 1)
    shutil.copy(tmp_path / "old", file)
    with pytest.raises(StoreError, match="is not what was committed here"):
        FeatureStore.open(store.url).read("net", [4])
    assert [problem.shard for problem in verify(store.url).problems] == [1]


def test_a_commit_that_was_cut_off_may_have_left_the_old_file_or_the_new_one(store):
    values = Path(store.url) / "features/net/values/c"
    store.ledger("net").announce(0, 2)
    exchange(values / "0/0/0", values / "1/0/0")
    found = FeatureStore.open(store.url).read("net", [2])[0]
    np.testing.assert_array_equal(found, toy.values_of(store.ids[6], NET))


def test_kept_frames_that_were_exchanged(store):
    files = Path(store.url) / "decoded/frames/c"
    assert store.kept("frames", range(2, 4))[:, 0, 0, 0, 0].tolist() == [3, 4]
    exchange(files / "2", files / "3")
    with pytest.raises(StoreError, match=r"^file 2: .*decoded/frames: is not what was committed here"):
        store.kept("frames", range(2, 3))


def test_records_of_earlier_releases_have_no_checksums_of_rows(store):
    for record in (Path(store.url) / "ledger/net").glob("*.json"):
        if record.name != "seal.json":
            body = unpack(record.read_bytes(), where="")
            for entry in body["files"].values():
                entry.pop("rows", None)
            record.write_bytes(pack(body))
    again = FeatureStore.open(store.url)
    np.testing.assert_array_equal(again.read("net", [1])[0], toy.values_of(store.ids[1], NET))
    assert verify(store.url, deep=True).problems == []


def test_a_record_holds_eight_digits_a_row(store):
    record = json.loads((Path(store.url) / "ledger/net/00002.0001.json").read_text())
    entry = json.loads(record["record"])["files"]["features/net/values/c/2/0/0"]
    assert len(entry["rows"]) == 8 * len(store.shard_rows(2))


def test_in_a_bucket(tmp_path):
    url = f"memory://{tmp_path.name}/s.zarr"
    toy.make(url, kept=False)
    files = fsspec.filesystem("memory")
    base = f"/{tmp_path.name}/s.zarr/features/net/values/c"
    one, other = (files.cat_file(f"{base}/{shard}/0/0") for shard in (0, 1))
    files.pipe_file(f"{base}/0/0/0", other)
    files.pipe_file(f"{base}/1/0/0", one)
    with pytest.raises(StoreError, match=r"row 2: .* is not what was committed here"):
        FeatureStore.open(url).read("net", [2])
    assert {problem.shard for problem in verify(url).problems} == {0, 1}
