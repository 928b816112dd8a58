"""The clips of a store that failed, one by one."""

import toy_store

from pipeline.inspection.failed_clips import failed_clips
from pipeline.inspection.status import overview
from storage.store import FeatureStore


def test_a_clip_is_listed_once_with_all_arrays_that_lack_it(tmp_path):
    clips = toy_store.table()
    store = toy_store.make(tmp_path / "s.zarr", clips)
    one, two = clips.ids[5], clips.ids[1]
    toy_store.fill(store, toy_store.SPECS[0], failed=(one, two))
    toy_store.fill(store, toy_store.SPECS[1], failed=(one,))
    store = FeatureStore.open(tmp_path / "s.zarr")
    found = failed_clips(store, overview(store), most=10)
    assert [(clip.id, clip.arrays) for clip in found] in (
        [(two, ["net"]), (one, ["net", "ear"])],
        [(one, ["ear", "net"]), (two, ["net"])],
    )
    assert {(clip.status, clip.reason) for clip in found} == {("timeout", "no result within 60 s")}
    assert len(failed_clips(store, overview(store), most=1)) == 1


def test_where_nothing_failed_no_record_is_read(tmp_path, monkeypatch):
    store = toy_store.make(tmp_path / "s.zarr")
    found = overview(store)
    monkeypatch.setattr("storage.ledger.Ledger.read", None)
    assert failed_clips(store, found, most=10) == []
