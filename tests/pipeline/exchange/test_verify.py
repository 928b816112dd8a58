"""Damage of every kind is found, named, and mended as far as it can be."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_store as toy
import zarr

from pipeline.cli.main import main
from pipeline.exchange.repair import mark_rows, restore_metadata
from pipeline.exchange.verify import verify
from pipeline.extraction.plan import make_plan
from storage.errors import StoreError
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec
from storage.ledger import Row
from storage.schema import Status
from storage.store import FeatureStore
from storage.writer import claim, commit_features

FLIPS = int(os.environ.get("AVVP_FLIPS", "60"))


@pytest.fixture
def store(tmp_path):
    return toy.make(tmp_path / "s.zarr", failed=[toy.table().ids[5]])


def files(store):
    return sorted(path for path in Path(store.url).rglob("*") if path.is_file() and path.stat().st_size)


def plan(store, array="net"):
    again = FeatureStore.open(store.url)
    return make_plan(again, [array], again.clips.clips, fingerprint_of=lambda clip: "")


def test_an_intact_store_has_no_problem(store):
    for deep in (False, True):
        report = verify(store.url, deep=deep)
        assert report.problems == []
        assert report.notes == []
    assert report.bytes_read > sum(path.stat().st_size for path in files(store) if "/ledger/" not in str(path)) * 0.9


def test_every_flipped_byte_is_found(store, tmp_path):
    """Over random places of the whole store; a shard's values, its index, JSON, records, seals, the clip table."""
    random = np.random.default_rng(7)
    every = files(store)
    sizes = np.array([path.stat().st_size for path in every])
    missed = []
    for number in range(FLIPS):
        # Half by bytes, half by files: small files would hardly ever be hit.
        chosen = every[random.choice(len(every), p=sizes / sizes.sum() if number % 2 else None)]
        before = chosen.read_bytes()
        place = int(random.integers(len(before)))
        flipped = bytearray(before)
        flipped[place] ^= 1 << int(random.integers(8))
        chosen.write_bytes(flipped)
        if not verify(store.url, deep=True).problems:
            missed.append((str(chosen.relative_to(store.url)), place))
        chosen.write_bytes(before)
    assert missed == []
    assert verify(store.url, deep=True).problems == []


def test_a_changed_value_is_named_by_array_and_clip(store):
    file = Path(store.url) / "features/net/values/c/1/0/0"
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    assert verify(store.url).problems == []  # its size is right: only --deep reads the bytes
    (problem,) = verify(store.url, deep=True).problems
    assert (problem.where, problem.clips, problem.shard) == ("features/net", (store.ids[4],), 1)
    assert "crc32c is wrong" in problem.cause
    assert "Run: avvp verify" not in problem.cause
    assert "bytes 0 to" in problem.cause


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        ("features/net/values/c/1/0/0", "is missing"),
        ("features/net/valid/c/1/0", "is missing"),
        ("features/net/zarr.json", "is missing"),
        ("ledger/net/seal.json", "is missing"),
        ("clips/id/c/0", "is missing"),
        ("decoded/frames/c/3/0/0/0/0", "is missing"),
    ],
)
def test_a_lost_file_is_found_by_the_fast_look(store, key, cause):
    (Path(store.url) / key).unlink()
    found = verify(store.url).problems
    assert [key] == [problem.file for problem in found if cause in problem.cause]


def test_a_truncated_file_is_found_by_the_fast_look(store):
    file = Path(store.url) / "features/net/values/c/0/0/0"
    file.write_bytes(file.read_bytes()[:-9])
    (problem,) = verify(store.url).problems
    assert "bytes, was written with" in problem.cause


def commit_numbers(store, shard, values):
    ids = [store.ids[row] for row in store.shard_rows(shard)]
    rows = [Row(name, "ok", stored=True, clip_fingerprint=name) for name in ids]
    with claim(store, ["net"], shard):
        commit_features(store, "net", shard, values=values, valid=np.ones(values.shape[:2], bool), rows=rows)


def test_numbers_that_cannot_be_are_named(store):
    spec = toy.SPECS[0]
    values = np.stack([toy.values_of(store.ids[row], spec) for row in store.shard_rows(0)])
    values[0], values[1, 2, 3] = 0, np.nan
    values[3] = toy.values_of(store.ids[8], spec)
    commit_numbers(store, 0, values)
    assert verify(store.url).problems == []
    found = {problem.clips[0]: problem.cause for problem in verify(store.url, deep=True).problems}
    assert found == {
        store.ids[0]: "all values are zero",
        store.ids[1]: "1 values of its valid steps are not finite",
        store.ids[8]: f"equals the row of {store.ids[3]!r}, whose media is another file",
    }


def test_masks_and_statuses_must_say_what_the_ledger_says(store):
    status = store.direct("features/net/status")
    block = status.rows(0, 4)
    block[2] = Status.MISSING
    status.write(0, block, threads=store.threads)
    found = verify(store.url).problems
    assert any("features/net/status" in problem.file for problem in found)


def test_leftovers_and_strangers_are_no_problem(store):
    base = Path(store.url)
    (base / "features/net/values/c/0/0/0.abc.partial").write_bytes(b"half")
    (base / "notes.txt").write_text("mine")
    report = verify(store.url, deep=True)
    assert report.problems == []
    assert len(report.notes) == 2


def test_an_uncommitted_shard_is_a_note(tmp_path):
    store = toy.make(tmp_path / "s.zarr", shards=[0], kept=False)
    store.direct("features/net/values").write(1, np.zeros((4, 6, 32), np.float32), threads=store.threads)
    report = verify(store.url, deep=True)
    assert report.problems == []
    assert "was not committed" in report.notes[0]


@pytest.mark.parametrize(
    ("record", "where"), [("net/00001.0001", "features/net"), ("decoded.frames/00002.0001", "decoded/frames")]
)
def test_a_lost_record_is_told(store, capsys, record, where):
    (Path(store.url) / f"ledger/{record}.json").unlink()
    for look in (False, True):
        (problem,) = verify(store.url, deep=look).problems
        assert (problem.where, problem.file) == (where, f"ledger/{record}.json")
        assert "their record is missing" in problem.cause
    with pytest.raises(SystemExit) as ended:
        main(["verify", store.url])
    assert ended.value.code == 3


def test_a_lock_says_that_a_commit_was_cut_off_or_is_at_work(store):
    (Path(store.url) / "ledger/net/00001.0001.json").unlink()
    (Path(store.url) / "ledger/net/00001.lock").touch()
    report = verify(store.url)
    assert report.problems == []
    assert any("was not committed" in note for note in report.notes)


@pytest.mark.parametrize("group", ["features", "decoded"])
def test_the_lost_metadata_of_a_group_is_told_and_put_back(store, group):
    (Path(store.url) / f"{group}/zarr.json").unlink()
    (problem,) = found = verify(store.url).problems
    assert (problem.file, problem.cause.split(":")[0]) == (f"{group}/zarr.json", "is missing")
    assert restore_metadata(store.url, found).restored == [f"{group}/zarr.json"]
    assert verify(store.url).problems == []


def test_repair_marks_one_row_and_keeps_the_others(store):
    before = store.read("net")
    file = Path(store.url) / "features/net/values/c/0/0/0"
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    assert mark_rows(store.url, verify(store.url, deep=True).problems).marked == {"net": 1}
    assert verify(store.url, deep=True).problems == []
    after = FeatureStore.open(store.url).read("net")
    assert np.isnan(after[0]).all()
    np.testing.assert_array_equal(after[1:], before[1:])
    assert FeatureStore.open(store.url).ledger("net").newest()[0].circumstances == {"device": "cpu"}
    (task,) = plan(store).tasks
    assert task.rows == {"net": frozenset({0})}
    assert plan(store, "ear").tasks == ()


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        ("features/net/values/c/1/0/0", {4, 5, 6, 7}),
        ("ledger/net/00001.0001.json", {4, 5, 6, 7}),
        ("features/net/valid/c/1/0", set()),
        ("features/net/status/c/1", set()),
        ("decoded/frames/c/3/0/0/0/0", {3}),
        ("features/net/zarr.json", set()),
        ("features/net/values/zarr.json", set()),
        ("ledger/net/seal.json", set()),
        ("ledger/seal.json", set()),
        ("clips/id/c/0", set()),
        ("zarr.json", set()),
        ("features/zarr.json", set()),
    ],
)
@pytest.mark.parametrize("how", ["flip", "truncate"])
def test_repair_redoes_what_it_must_and_no_more(store, key, rows, how):
    before = store.read("net")
    file = Path(store.url) / key
    data = bytearray(file.read_bytes())
    if how == "flip":
        data[-2] ^= 1  # in a shard: its index
    file.write_bytes(data if how == "flip" else data[: len(data) // 2])
    with pytest.raises(SystemExit) as ended:
        main(["verify", store.url, "--deep", "--repair"])
    assert ended.value.code == 0
    assert verify(store.url, deep=True).problems == []
    array = "decoded.frames" if key.startswith("decoded") else "net"
    assert {row for task in plan(store, array).tasks for row in task.clips} == rows
    good = [row for row in range(10) if row not in rows or array != "net"]
    np.testing.assert_array_equal(FeatureStore.open(store.url).read("net", good), before[good])


def test_what_cannot_be_mended_is_said(store, capsys):
    for key in ("clips/id/c/0", "ledger/seal.json"):
        (Path(store.url) / key).write_bytes(b"x")
    with pytest.raises(SystemExit) as ended:
        main(["verify", store.url, "--repair"])
    assert ended.value.code == 3
    assert "not mended" in capsys.readouterr().out


def test_the_command_exits_with_3_and_json_tells(store, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verify", store.url])
    assert ended.value.code == 0
    assert "nothing is wrong" in capsys.readouterr().out
    shutil.rmtree(Path(store.url) / "features/net/values/c/2")
    with pytest.raises(SystemExit):
        main(["verify", store.url, "--deep"])
    assert f"Next: avvp verify {store.url} --deep --repair" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["verify", store.url, "--json"])
    assert ended.value.code == 3
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["shard"] == 2


def test_restoring_needs_no_open_store(store):
    (Path(store.url) / "zarr.json").unlink()
    restored = restore_metadata(store.url, verify(store.url).problems).restored
    assert restored == ["zarr.json"]
    assert verify(store.url, deep=True).problems == []


def test_there_must_be_a_store(tmp_path):
    with pytest.raises(StoreError, match="no feature store here"):
        verify(str(tmp_path))


def test_a_zarr_of_others_is_no_store_and_stays_as_it_is(tmp_path, capsys):
    zarr.open_group(tmp_path / "theirs.zarr", mode="w").create_array("x", shape=(3,), dtype="f4")[:] = 1
    before = sorted(tmp_path.rglob("*"))
    for how in ([], ["--deep"], ["--repair"]):
        with pytest.raises(SystemExit) as ended:
            main(["verify", str(tmp_path / "theirs.zarr"), *how])
        assert ended.value.code == 2
        assert "no feature store here" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_labels_are_sealed_too(store):
    labels = LabelStore.open(store.url)
    spec = LabelSpec("glove", "toy", 4)
    classes = ("Dog", "Cat")
    provenance = LabelProvenance("glove", "1", "unknown")
    labels.write_embeddings(
        LabelEmbeddings(spec, provenance, classes, (("a",), ("b",)), np.eye(2, 4, dtype=np.float32))
    )
    assert verify(store.url, deep=True).problems == []
    assert verify(store.url, deep=True).notes == []
    file = Path(store.url) / "labels/glove/vectors/c/0/0"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    (problem,) = verify(store.url).problems
    assert problem.where == "labels.glove"
    restore_metadata(store.url, [problem])
    assert verify(store.url, deep=True).problems == []
    np.testing.assert_array_equal(LabelStore.open(store.url).read_embeddings("glove").vectors, np.eye(2, 4))
