"""The summary of a ledger says what its records say, however old, damaged or missing it is."""

import json
from dataclasses import replace

import numpy as np
import pytest
import toy_store as toy

from pipeline.inspection.status import overview
from storage.clips import ClipTable
from storage.files.local import LocalRoot
from storage.layout.creation import default_shard_size
from storage.ledger import Ledger, Row, record_of, shard_of_lock
from storage.ledger_summary import SUMMARY
from storage.schema import Status
from storage.store import FeatureStore
from storage.writer import claim

SPEC = toy.SPECS[1]


@pytest.fixture
def store(tmp_path):
    made = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), toy.table(10), shard_size=toy.SHARD)
    made.ensure_feature(SPEC, toy.origin(SPEC.name))
    toy.fill(made, SPEC, failed={made.ids[1], made.ids[5]})
    return made


def facts(url):
    """All that is asked of a summary, from one that a process without any memory reads."""
    summary = FeatureStore.open(url).summary(SPEC.name)
    rows = summary.rows()
    return {
        "status": rows.status.tolist(), "stored": rows.stored.tolist(), "comparable": rows.comparable.tolist(),
        "commits": summary.commits.tolist(), "recorded": summary.recorded.tolist(), "bytes": summary.bytes_on_disk,
        "kinds": [vars(kind) for kind in summary.kinds], "made_on": summary.circumstances,
    }  # fmt: skip


def saved(store):
    store.summary(SPEC.name)
    store.save_summaries()
    return store.root.path / "ledger" / SPEC.name / SUMMARY


def test_it_says_what_the_records_say(store):
    found = facts(store.root.path)
    records = store.ledger(SPEC.name).newest()
    rows = [row for record in records.values() for row in record.rows]
    assert found["status"] == [int(row.code) for row in rows]
    assert found["stored"] == [row.stored for row in rows]
    assert found["bytes"] == sum(file["bytes"] for record in records.values() for file in record.files.values())
    (kind,) = found["kinds"]
    assert (kind["status"], kind["count"], kind["examples"]) == ("timeout", 2, [store.ids[1], store.ids[5]])
    assert found["made_on"] == [({"device": "cpu"}, 3)]


def test_a_saved_one_needs_no_record(store, monkeypatch):
    saved(store)
    expected = facts(store.root.path)
    monkeypatch.setattr(Ledger, "read", lambda *_: pytest.fail("read a record"))
    assert facts(store.root.path) == expected


@pytest.mark.parametrize("damage", ["absent", "cut", "flipped", "not an archive", "other numbers"])
def test_a_damaged_one_is_made_anew(store, damage):
    file = saved(store)
    expected = facts(store.root.path)
    data = file.read_bytes()
    if damage == "absent":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        file.write_bytes(bytes([*data[:400], data[400] ^ 1, *data[401:]]))
    elif damage == "not an archive":
        file.write_bytes(b"\x93NUMPY nonsense")
    else:
        with np.load(file) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays["about"].tobytes()) | {"circumstances": []}
        np.savez(file, **arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
    assert facts(store.root.path) == expected


def test_each_newer_record_is_read_and_no_other(store, monkeypatch):
    saved(store)
    other = FeatureStore.open(store.url, read_only=False)
    toy.fill(other, SPEC, shards=[1])
    read, asked = Ledger.read, []
    monkeypatch.setattr(Ledger, "read", lambda self, shard, commit: asked.append(shard) or read(self, shard, commit))
    assert facts(store.root.path)["stored"] == [True, False, *[True] * 8]
    assert asked == [1]


def test_an_array_that_was_made_again_is_not_taken_for_the_old_one(store):
    saved(store)
    old = (store.root.path / "ledger" / SPEC.name / SUMMARY).read_bytes()
    other = FeatureStore.open(store.url, read_only=False)
    other.remove_feature(SPEC.name)
    other.ensure_feature(SPEC, toy.origin(SPEC.name))
    toy.fill(other, SPEC, shards=[0])
    (store.root.path / "ledger" / SPEC.name / SUMMARY).write_bytes(old)  # by a process that was slow
    assert facts(store.root.path)["commits"] == [1, 0, 0]
    assert facts(store.root.path)["stored"] == [True] * 4 + [False] * 6
    assert store.summary(SPEC.name).commits.tolist() == [1, 0, 0]


def test_commits_of_this_process_are_taken_in_at_once(store, monkeypatch):
    store.summary(SPEC.name)
    toy.fill(store, SPEC, shards=[0])
    monkeypatch.setattr(Ledger, "read", lambda *_: pytest.fail("read a record"))
    assert store.summary(SPEC.name).commits.tolist() == [2, 1, 1]
    assert store.summary(SPEC.name).rows().stored[1]


def test_a_folder_without_write_access_is_left_alone(store, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("read-only")

    store.summary(SPEC.name)
    monkeypatch.setattr(LocalRoot, "put", refuse)
    store.save_summaries()
    assert overview(store).arrays[SPEC.name].stored == 8


def test_numbers_beyond_five_digits_count(tmp_path):
    store = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), toy.table(3), shard_size=1)
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    ledger = store.ledger(SPEC.name)
    toy.fill(store, SPEC, shards=[2])
    record = ledger.newest_of(2)
    for shard, commit in ((100_000, 1), (123_456, 10_001), (99_999, 9_999)):
        ledger.append(replace(record, shard=shard, commit=commit))
    fresh = FeatureStore.open(store.url).ledger(SPEC.name)
    assert {shard: state.commit for shard, state in fresh.states().items()} == {
        2: 1, 99_999: 9_999, 100_000: 1, 123_456: 10_001,
    }  # fmt: skip
    assert fresh.state(123_456).commit == 10_001
    assert fresh.newest_of(100_000).shard == 100_000
    with store.root.lock(ledger.lock_key(100_000)), claim(store, [SPEC.name], 1):
        assert ledger.locked_shards() == [1, 100_000]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("00012.0003.json", (12, 3, "json")), ("100012.10003.intent", (100_012, 10_003, "intent")),
     ("0012.0003.json", None), ("00012.003.json", None), ("00012.lock", None), ("seal.json", None)],
)  # fmt: skip
def test_names_of_records(name, expected):
    assert record_of(name) == expected


def test_names_of_locks():
    assert [shard_of_lock(name) for name in ("00012.lock", "123456.lock.000003", "create.lock", "00012.0001.json")] == [
        12, 123_456, None, None,
    ]  # fmt: skip


def test_asking_for_one_shard_lists_the_ledger_once(store, monkeypatch):
    ledger = store.ledger(SPEC.name)
    ledger.states()
    monkeypatch.setattr(LocalRoot, "versions", lambda *_: pytest.fail("listed"))
    assert ledger.state(1).commit == 1
    assert ledger.state(7) is None


def test_a_commit_of_another_process_and_its_intent_are_seen(store):
    mine = FeatureStore.open(store.url).ledger(SPEC.name)
    assert mine.state(1).commit == 1
    toy.fill(store, SPEC, shards=[1])
    store.ledger(SPEC.name).announce(1, 3)
    assert (mine.state(1).commit, mine.state(1).interrupted) == (2, True)


def test_records_that_were_dropped_are_missed(store):
    mine = FeatureStore.open(store.url).ledger(SPEC.name)
    assert mine.state(1).commit == 1
    store.root.remove(store.ledger(SPEC.name).key(1, 1))
    assert mine.state(1) is None


def test_how_many_clips_a_shard_has():
    assert [default_shard_size(clips) for clips in (3, 49_999, 50_000, 999_999, 1_000_000, 10**8)] == [
        64, 64, 256, 256, 1_024, 1_024,
    ]  # fmt: skip


def test_a_status_that_is_marked_is_told(store):
    assert overview(store).arrays[SPEC.name].statuses == {"ok": 8, "timeout": 2}
    rows = [replace(row, status=Status.PENDING.label, stored=False) for row in store.ledger(SPEC.name).read(2, 1).rows]
    record = store.ledger(SPEC.name).read(2, 1)
    store.ledger(SPEC.name).append(replace(record, commit=2, rows=tuple(rows)))
    assert overview(FeatureStore.open(store.url)).arrays[SPEC.name].statuses == {"ok": 6, "timeout": 2, "pending": 2}


def test_one_kind_whatever_the_numbers(tmp_path):
    store = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), toy.table(4), shard_size=2)
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    toy.fill(store, SPEC)
    for shard in (0, 1):
        record = store.ledger(SPEC.name).read(shard, 1)
        rows = tuple(
            Row(row.id, "ok", f"source is {12 + shard}.{at} s; the first 10 s were used", stored=True)
            for at, row in enumerate(record.rows)
        )
        store.ledger(SPEC.name).append(replace(record, commit=2, rows=rows))
    (kind,) = FeatureStore.open(store.url).summary(SPEC.name).kinds
    assert (kind.count, kind.reason) == (4, "source is N s; the first N s were used")
    assert overview(FeatureStore.open(store.url)).arrays[SPEC.name].cut == 4


def test_a_table_hashes_once(monkeypatch):
    table = toy.table(3)
    first = table.hash
    monkeypatch.setattr("storage.clips.hashlib.sha256", lambda: pytest.fail("hashed again"))
    assert table.hash == first
    assert isinstance(table, ClipTable)
