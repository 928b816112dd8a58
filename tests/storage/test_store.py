import json
import subprocess
import sys

import numpy as np
import pytest
import zarr

from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput, SchemaMismatch, ShardLocked, StoreError
from storage.layout.decoded import DecodedSpec
from storage.ledger import Row, ShardRecord
from storage.schema import FeatureSpec, Provenance, Status
from storage.store import FeatureStore
from storage.writer import claim, commit_decoded, commit_features, write_decoded

SPEC = FeatureSpec("net", 4, 3, "visual", 0.25)
ORIGIN = Provenance("net", "1", "random:0", {"size": 224}, "uniform", created="now")


@pytest.fixture
def table():
    return ClipTable([Clip(f"clip {i}", f"/m/{i}.mp4", 0.0, 10.0, "val", ("Dog",)) for i in range(5)], dataset="toy")


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path, table):
    url = tmp_path / "s.zarr" if request.param == "local" else f"memory://{tmp_path.name}/s.zarr"
    made = FeatureStore.open_or_create(str(url), table, shard_size=2)
    made.ensure_feature(SPEC, ORIGIN)
    return made


def block(store, shard, *, seed=0, failed=()):
    span = store.shard_rows(shard)
    values = np.random.default_rng(seed).random((len(span), 4, 3), dtype=np.float32)
    valid = np.ones((len(span), 4), dtype=bool)
    rows = [Row(store.ids[row], "ok", stored=True) for row in span]
    for place in failed:
        values[place], valid[place] = np.nan, False
        rows[place] = Row(store.ids[span[place]], "timeout", "no result within 60 s")
    return {"values": values, "valid": valid, "rows": rows}


def commit(store, shard, **kwargs):
    data = block(store, shard, **kwargs)
    with claim(store, ["net"], shard):
        commit_features(store, "net", shard, **data)
    return data


def test_rows_read_back_in_any_order(store):
    parts = [commit(store, shard, seed=shard)["values"] for shard in range(3)]
    every = np.concatenate(parts)
    again = FeatureStore.open(store.url)
    np.testing.assert_array_equal(again.read("net"), every)
    np.testing.assert_array_equal(again.read("net", [4, 0, 4, -1]), every[[4, 0, 4, -1]])
    np.testing.assert_array_equal(again.read("net", slice(1, 4)), every[1:4])
    with pytest.raises(IndexError, match="rows must lie in"):
        again.read("net", [5])


def test_anyone_can_open_it_with_plain_zarr(store, tmp_path):
    data = commit(store, 0)
    plain = zarr.open(store.url, mode="r")
    np.testing.assert_array_equal(plain["features/net/values"][:2], data["values"])
    assert plain["features/net/status"][:].tolist() == [1, 1, 0, 0, 0]
    assert plain["clips/id"][:].tolist() == store.ids


def test_clip_table_reads_back(store, table):
    assert FeatureStore.open(store.url).clips.clips == table.clips
    assert FeatureStore.open(store.url).clips.hash == table.hash


def test_an_uncommitted_shard_does_not_exist(store):
    commit(store, 1, seed=1)
    data = block(store, 0)
    array = store.array("features/net/values")
    array[0:2] = data["values"]
    store.array("features/net/status")[0:2] = 1
    again = FeatureStore.open(store.url)
    assert np.isnan(again.read("net", [0, 1, 4])).all()
    assert again.status("net").tolist() == [0, 0, 1, 1, 0]
    assert not again.valid("net")[:2].any()


def test_status_and_masks_of_failed_rows(store):
    commit(store, 0, failed=[1])
    assert store.status("net")[:2].tolist() == [Status.OK, Status.TIMEOUT]
    assert store.valid("net")[:2].any(axis=1).tolist() == [True, False]
    record = store.ledger("net").newest()[0]
    assert record.rows[1].reason == "no result within 60 s"
    assert record.rows[1].failed
    assert record.fingerprint == store.fingerprint("net")


def test_a_shard_whose_every_row_failed_is_still_written(store):
    commit(store, 0, failed=[0, 1])
    again = FeatureStore.open(store.url, read_only=False)
    assert again.root.size("features/net/values/c/0/0/0")
    commit(again, 2, failed=[0])
    assert again.root.size("features/net/values/c/2/0/0")
    assert again.status("net").tolist() == [8, 8, 0, 0, 8]


def test_every_commit_keeps_its_record(store):
    commit(store, 0, failed=[0])
    commit(store, 0, seed=7)
    ledger = store.ledger("net")
    assert ledger.states()[0].commit == 2
    assert ledger.read(0, 1).rows[0].failed
    assert not ledger.read(0, 2).rows[0].failed


def test_a_cut_off_overwrite_is_seen(store):
    commit(store, 0, failed=[0])
    store.ledger("net").announce(0, 2)
    assert store.ledger("net").states()[0].interrupted
    commit(store, 0)
    assert not store.ledger("net").states()[0].interrupted


def test_a_damaged_record_is_an_error(store):
    commit(store, 0)
    key = store.ledger("net").key(0, 1)
    data = store.root.read(key)
    store.root.put(key, data.replace(b"clip 1", b"clip 2"))
    with pytest.raises(StoreError, match="checksum is wrong"):
        store.ledger("net").read(0, 1)
    store.root.put(key, b"{}")
    with pytest.raises(StoreError, match="not a ledger record"):
        store.ledger("net").read(0, 1)


def test_record_goes_round():
    record = ShardRecord("net", 1, 2, "ab", 1, {"k": {"bytes": 1, "crc32": 2}}, (Row("é", "ok", stored=True),))
    assert ShardRecord.from_bytes(record.to_bytes(), where="here") == record


def test_a_commit_records_its_circumstances(store):
    with claim(store, ["net"], 0):
        commit_features(store, "net", 0, **block(store, 0), circumstances={"device": "cpu"})
    record = store.ledger("net").read(0, 1)
    assert record.circumstances == {"device": "cpu"}
    assert record.fingerprint == store.fingerprint("net")


def test_other_weights_are_refused_until_rebuilt(store):
    commit(store, 0)
    other = Provenance("net", "1", "random:1", {"size": 224}, "uniform")
    with pytest.raises(SchemaMismatch, match=r"weights 'random:0', asked for 'random:1'.*--rebuild"):
        store.ensure_feature(SPEC, other)
    store.ensure_feature(SPEC, Provenance(**{**ORIGIN.to_json(), "created": "later", "libraries": {"torch": "9"}}))
    assert store.status("net")[0] == Status.OK
    store.ensure_feature(SPEC, other, rebuild=True)
    assert store.status("net").tolist() == [0] * 5
    assert store.provenance("net").weights == "random:1"


def test_other_tables_and_sizes_are_refused(store, table):
    with pytest.raises(SchemaMismatch, match=r"holds 5 clips, 1 of which t lacks, e.g. 'clip 4'"):
        FeatureStore.open_or_create(store.url, ClipTable(table[:4], source="t"))
    swapped = ClipTable([table[1], table[0], *table[2:]], source="t")
    with pytest.raises(SchemaMismatch, match=r"row 0 is 'clip 0' \[0, 10\), in t it is 'clip 1'"):
        FeatureStore.open_or_create(store.url, swapped)
    with pytest.raises(SchemaMismatch, match="shards of 2 clips, asked for 3"):
        FeatureStore.open_or_create(store.url, table, shard_size=3)
    with pytest.raises(SchemaMismatch, match="clips of 10 s, asked for 5 s"):
        FeatureStore.open_or_create(store.url, table, clip_seconds=5)
    for _ in range(2):  # the size that is there is no other, also where it is more than the clips
        assert FeatureStore.create(f"{store.url}.again", table, shard_size=64).info.shard_size == 64


def test_a_wrong_block_is_refused(store):
    data = block(store, 0)
    with pytest.raises(StoreError, match=r"expected \(1, 4, 3\), got \(2, 4, 3\)"):
        commit_features(store, "net", 2, **data)


def test_absent_things_are_one_clear_line(store, tmp_path):
    with pytest.raises(StoreError, match="no feature store here"):
        FeatureStore.open(tmp_path / "nothing.zarr")
    with pytest.raises(StoreError, match="no features 'other'; there are net"):
        store.read("other")
    with pytest.raises(StoreError, match="no array 'x/y'"):
        store.array("x/y")


def test_a_folder_of_something_else_is_not_touched(tmp_path, table):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InvalidInput, match=r"holds 'thesis\.tex'"):
        FeatureStore.open_or_create(tmp_path, table)


def test_foreign_groups_and_versions_are_refused(tmp_path, table):
    zarr.create_group(str(tmp_path / "g.zarr"), attributes={"other": 1})
    with pytest.raises(StoreError, match="not a feature store of ours"):
        FeatureStore.open(tmp_path / "g.zarr")
    made = FeatureStore.create(tmp_path / "s.zarr", table)
    body = json.loads(made.root.read("zarr.json"))
    body["attributes"]["avvp"]["schema_version"] = 99
    made.root.put("zarr.json", json.dumps(body).encode())
    with pytest.raises(StoreError, match="schema version 99, this release reads 1"):
        FeatureStore.open(tmp_path / "s.zarr")


def test_a_killed_creation_leaves_no_store(tmp_path, table):
    zarr.create_group(str(tmp_path / "s.zarr"))
    with pytest.raises(StoreError, match="no feature store here"):
        FeatureStore.open(tmp_path / "s.zarr")
    assert FeatureStore.open_or_create(tmp_path / "s.zarr", table).ids == table.ids


def test_kept_intermediates(store):
    spec = DecodedSpec("frames", (2, 3, 3, 3), "uint8", {"size": ((2,), "int32")}, {"frames_per_second": 8})
    store.ensure_decoded(spec)
    store.ensure_decoded(spec)
    pixels = np.arange(54, dtype=np.uint8).reshape(spec.shape)
    with claim(store, [spec.ledger_name], 0):
        write_decoded(store, spec, 1, pixels)
        rows = [Row("clip 0", "missing"), Row("clip 1", "ok", stored=True)]
        commit_decoded(store, spec, 0, companions={"size": np.full((2, 2), 3, np.int32)}, rows=rows)
    again = FeatureStore.open(store.url)
    assert again.decoded == ("frames",)
    assert again.decoded_spec("frames") == spec
    np.testing.assert_array_equal(again.array("decoded/frames")[1], pixels)
    assert again.committed("decoded.frames").tolist() == [True, True, False, False, False]
    with pytest.raises(SchemaMismatch, match="was kept as"):
        store.ensure_decoded(DecodedSpec("frames", (1, 3, 3, 3), "uint8"))


def test_float16_is_stored_as_asked(tmp_path, table):
    store = FeatureStore.create(tmp_path / "h.zarr", table, shard_size=5)
    store.ensure_feature(FeatureSpec("net", 4, 3, "visual", dtype="float16"), ORIGIN)
    data = block(store, 0)
    with claim(store, ["net"], 0):
        commit_features(store, "net", 0, **data)
    assert store.read("net").dtype == np.float16
    np.testing.assert_array_equal(store.read("net"), data["values"].astype(np.float16))


HOLDER = """
import sys, time
from storage.store import FeatureStore
from storage.writer import claim
with claim(FeatureStore.open(sys.argv[1], read_only=False), ["net"], 0):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_claimed_shard_is_refused_and_free_after_a_kill(tmp_path, table):
    store = FeatureStore.create(tmp_path / "s.zarr", table, shard_size=2)
    store.ensure_feature(SPEC, ORIGIN)
    with subprocess.Popen([sys.executable, "-c", HOLDER, store.url], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(ShardLocked, match="another process is writing"), claim(store, ["net"], 0):
                pass
            with claim(store, ["net"], 1):
                pass
        finally:
            holder.kill()
    with claim(store, ["net"], 0):
        pass
    assert [name for name in store.root.names("ledger/net") if name.endswith(".lock")] == []


def test_leftovers_of_killed_writes_are_swept_and_those_of_other_shards_are_not(tmp_path, table):
    store = FeatureStore.create(tmp_path / "s.zarr", table, shard_size=2)
    store.ensure_feature(SPEC, ORIGIN)
    ours = [tmp_path / "s.zarr/features/net" / name for name in ("values/c/1/0/0.partial", "status/c/1.partial")]
    theirs = [tmp_path / "s.zarr/features/net" / name for name in ("status/c/0.partial", "status/c/11.partial")]
    for path in ours + theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    commit(store, 1)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in theirs)


@pytest.mark.parametrize("damage", [("separator", "separatob"), ('"configuration"', '"confiburation"')])
def test_damaged_metadata_is_a_line_and_no_traceback(tmp_path, table, damage):
    store = FeatureStore.create(tmp_path / "s.zarr", table, shard_size=2)
    file = tmp_path / "s.zarr/clips/id/zarr.json"
    file.write_text(file.read_text().replace(*damage))
    with pytest.raises(StoreError, match="no array 'clips/id'"):
        store.array("clips/id")


def test_leftovers_of_a_killed_creation_are_swept(tmp_path, table):
    left = ["zarr.json", "ledger/seal.json", "features/zarr.json", "decoded/zarr.json"]
    later = ["features/net/zarr.json", "ledger/net/seal.json", "ledger/decoded.frames/seal.json"]
    for key in left:
        path = tmp_path / "s.zarr" / f"{key}.ab.partial"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    store = FeatureStore.create(tmp_path / "s.zarr", table, shard_size=2)
    spec = DecodedSpec("frames", (2, 3, 3, 3), "uint8")
    assert f"ledger/{spec.ledger_name}/seal.json" in later
    for key in later:
        path = tmp_path / "s.zarr" / f"{key}.cd.partial"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    store.ensure_feature(SPEC, ORIGIN)
    store.ensure_decoded(spec)
    assert not list((tmp_path / "s.zarr").rglob("*.partial"))


@pytest.mark.parametrize("group", ["features", "decoded"])
def test_a_folder_with_features_of_somebody_else_is_no_place_for_a_store(tmp_path, table, group):
    (tmp_path / "s" / group).mkdir(parents=True)
    (tmp_path / "s" / group / "mine.npy").write_bytes(b"x")
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / group).write_bytes(b"x")
    for folder in ("s", "file"):
        with pytest.raises(InvalidInput, match=f"is not a feature store and holds '{group}'"):
            FeatureStore.create(tmp_path / folder, table)
        assert not (tmp_path / folder / "zarr.json").exists()


def test_leftovers_of_kept_intermediates_are_swept_clip_by_clip(tmp_path, table):
    store = FeatureStore.create(tmp_path / "s.zarr", table, shard_size=2)
    spec = DecodedSpec("frames", (2, 3, 3, 3), "uint8")
    store.ensure_decoded(spec)
    array = store.direct("decoded/frames")
    stored, missing, of_another_shard = (
        tmp_path / "s.zarr" / f"{array.key(row)}.partial" for row in (0, 1, store.shard_rows(1).start)
    )
    for path in (stored, missing, of_another_shard):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    with claim(store, [spec.ledger_name], 0):
        write_decoded(store, spec, 0, np.zeros(spec.shape, np.uint8))
        commit_decoded(store, spec, 0, companions={}, rows=[Row("clip 0", "ok", stored=True), Row("clip 1", "missing")])
    assert [path.exists() for path in (stored, missing, of_another_shard)] == [False, False, True]


def test_an_array_at_work_is_not_replaced(tmp_path, table):
    store = FeatureStore.create(tmp_path / "s.zarr", table, shard_size=2)
    store.ensure_feature(SPEC, ORIGIN)
    other = Provenance("net", "1", "random:1", {"size": 224}, "uniform")
    with claim(store, ["net"], 1), pytest.raises(ShardLocked, match="another process"):
        store.ensure_feature(SPEC, other, rebuild=True)
    assert store.provenance("net").weights == "random:0"
    store.ensure_feature(SPEC, other)
    assert store.provenance("net").weights == "random:1"


def test_ids_are_found_in_either_normal_form(tmp_path):
    ids = ["caf\u00e9", "e\u0301te\u0301", "line\u2028end"]
    store = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), ClipTable([Clip(name, f"/m/{name}") for name in ids]))
    assert [store.row_of(name) for name in ("cafe\u0301", "\u00e9t\u00e9", "line\u2028end", *ids)] == [0, 1, 2, 0, 1, 2]
    assert FeatureStore.open(store.url).ids == ids
    both = ClipTable([Clip("caf\u00e9", "/m/1"), Clip("cafe\u0301", "/m/2")])
    store = FeatureStore.open_or_create(str(tmp_path / "both.zarr"), both)
    assert [store.row_of(clip.id) for clip in FeatureStore.open(store.url).clips] == [0, 1]


@pytest.mark.parametrize("name", ["", "..", "../../outside", "a/b", "a\\b", "a\nb"])
def test_an_array_cannot_lie_outside_its_group(store, name):
    spec = FeatureSpec(name, 2, 3, "audio", 1.0)
    with pytest.raises(InvalidInput, match="Give it another name"):
        store.ensure_feature(spec, Provenance("x", "1", "random:0", {}, "uniform"))
