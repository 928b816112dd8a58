"""Stores as WebDataset shards: read back by tarfile, by our reader and by the webdataset package."""

import hashlib
import io
import json
import os
import tarfile

import numpy as np
import pytest
import toy_store as toy

from pipeline.cli.main import main
from pipeline.exchange.webdataset import export_webdataset, key_of, parse_webdataset
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.growth import append_clips
from storage.media.tars import TarReader
from storage.schema import FeatureSpec
from storage.store import FeatureStore


@pytest.fixture
def store(tmp_path):
    """Ten clips in shards of four; two of them lack ``net``, one of these lacks ``ear`` as well."""
    made = FeatureStore.create(str(tmp_path / "s.zarr"), toy.table(), shard_size=toy.SHARD)
    ids = toy.table().ids
    for spec, failed in zip(toy.SPECS, (ids[2:4], ids[3:4]), strict=True):
        made.ensure_feature(spec, toy.origin(spec.name))
        toy.fill(made, spec, failed=failed)
    return FeatureStore.open(made.url)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def members(path):
    with tarfile.open(path) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def array(data):
    return np.load(io.BytesIO(data), allow_pickle=False)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_clips_that_were_appended_are_pending(store, tmp_path):
    append_clips(store.url, toy.table(11))
    grown = FeatureStore.open(store.url, read_only=False)
    grown.ensure_feature(FeatureSpec("new", 1, 2, "visual"), toy.origin("new"))
    toy.fill(grown, grown.spec("new"))
    export_webdataset(FeatureStore.open(store.url), tmp_path / "out")
    facts = json.loads(members(tmp_path / "out/shard-000002.tar")[f"{key_of(grown.ids[10])}.json"])
    assert {name: entry["status"] for name, entry in facts["arrays"].items()} == {
        "ear": "pending", "net": "pending", "new": "ok",
    }  # fmt: skip


def test_a_tar_a_shard_holds_values_masks_and_facts(store, tmp_path):
    report = export_webdataset(store, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "arrays.json", "shard-000000.tar", "shard-000001.tar", "shard-000002.tar",
    ]  # fmt: skip
    assert (report.tars, report.clips, report.left_out) == (3, 9, [store.ids[3]])
    assert report.written == {"ear": 9, "net": 8}
    assert report.without == {"net": [store.ids[2]]}
    first = members(tmp_path / "out/shard-000000.tar")
    assert list(first)[:5] == [f"{store.ids[0]}.{end}" for end in
                               ("ear.npy", "ear.valid.npy", "net.npy", "net.valid.npy", "json")]  # fmt: skip
    for name in ("ear", "net"):
        np.testing.assert_array_equal(array(first[f"{store.ids[1]}.{name}.npy"]), store.read(name, [1])[0])
        np.testing.assert_array_equal(array(first[f"{store.ids[1]}.{name}.valid.npy"]), store.valid(name, [1])[0])
    assert [name for name in first if name.startswith(store.ids[2])] == [
        f"{store.ids[2]}.{end}" for end in ("ear.npy", "ear.valid.npy", "json")
    ]
    failed = {"status": "timeout", "reason": "no result within 60 s"}
    assert json.loads(first[f"{store.ids[2]}.json"]) == {
        "id": store.ids[2], "start_seconds": 2.0, "end_seconds": 12.0, "split": "test", "labels": ["Dog"],
        "arrays": {"ear": {"status": "ok", "reason": ""}, "net": failed},
    }  # fmt: skip
    facts = json.loads((tmp_path / "out/arrays.json").read_text())
    assert facts["arrays"]["net"]["spec"]["dim"] == 32
    assert facts["arrays"]["net"]["fingerprint"] == store.fingerprint("net")


def test_the_same_store_gives_the_same_bytes(store, tmp_path, monkeypatch):
    export_webdataset(store, tmp_path / "one")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    export_webdataset(FeatureStore.open(store.url), tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    with tarfile.open(tmp_path / "one/shard-000000.tar") as tar:
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in tar} == {(0, 0, 0, "")}


@pytest.mark.parametrize(("number", "sizes"), [(1, [1] * 9), (4, [4, 4, 1]), (9, [9]), (100, [9])])
def test_so_many_clips_a_tar(store, tmp_path, number, sizes):
    report = export_webdataset(store, tmp_path / "out", arrays=["ear"], clips_per_tar=number)
    tars = sorted((tmp_path / "out").glob("*.tar"))
    assert [sum(name.endswith(".json") for name in members(tar)) for tar in tars] == sizes
    assert (report.tars, report.clips) == (len(sizes), 9)
    ids = [json.loads(data)["id"] for tar in tars for name, data in members(tar).items() if name.endswith(".json")]
    assert ids == [name for name in store.ids if name != store.ids[3]]


def test_padding_gives_every_sample_every_array(store, tmp_path):
    for padding, expected in (("zero", 0.0), ("nan", np.nan)):
        report = export_webdataset(store, tmp_path / padding, padding=padding)
        first = members(tmp_path / padding / "shard-000000.tar")
        assert len(first) == 3 * 5
        np.testing.assert_array_equal(array(first[f"{store.ids[2]}.net.npy"]), np.full((6, 32), expected, np.float32))
        assert not array(first[f"{store.ids[2]}.net.valid.npy"]).any()
        assert report.without == {"net": [store.ids[2]]}


def test_the_webdataset_package_reads_it(store, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    export_webdataset(store, tmp_path / "out", clips_per_tar=4)
    pattern = str(tmp_path / "out/shard-{000000..000002}.tar")
    samples = list(webdataset.WebDataset(pattern, shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == [key_of(name) for name in store.ids if name != store.ids[3]]
    rows = [store.row_of(sample["json"]["id"]) for sample in samples]
    np.testing.assert_array_equal(np.stack([sample["ear.npy"] for sample in samples]), store.read("ear", rows))
    assert all(sample["ear.valid.npy"].dtype == bool for sample in samples)
    assert sum("net.npy" in sample for sample in samples) == 8


ODD = ("AP0061o0Nvk_101.8_111.8", "../../out", "/absolute", "a//b", "deep/er", "__meta__", "100%", ".hidden", "é",
       "x\ny/z", "%2E", "n" * 300)  # fmt: skip


def test_any_id_is_a_key_of_its_own(tmp_path):
    assert key_of("BjCEufrlXm4_20_30") == "BjCEufrlXm4_20_30"
    assert key_of("deep/er") == "deep/er"
    keys = [key_of(name) for name in ODD]
    assert len(set(keys)) == len(ODD)
    assert not any("." in key or key.startswith(("/", "__")) or "//" in key or "\n" in key for key in keys)
    store = FeatureStore.create(str(tmp_path / "s.zarr"), ClipTable([Clip(name, "/m") for name in ODD]), shard_size=5)
    spec = FeatureSpec("net_0.5s", 2, 3, "audio", 0.5)
    store.ensure_feature(spec, toy.origin("net_0.5s"))
    toy.fill(store, spec)
    export_webdataset(FeatureStore.open(store.url), tmp_path / "out")
    with TarReader(str(tmp_path / "out/shard-000000.tar")) as tar:
        assert [member.name for member in tar.members()][:3] == [
            f"AP0061o0Nvk_101%2E8_111%2E8.{end}" for end in ("net_0.5s.npy", "net_0.5s.valid.npy", "json")
        ]
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    samples = list(webdataset.WebDataset(str(tmp_path / "out/shard-{000000..000002}.tar"), shardshuffle=False).decode())
    assert [sample["json"]["id"] for sample in samples] == list(ODD)
    assert [sample["__key__"] for sample in samples] == keys
    for row, sample in enumerate(samples):
        np.testing.assert_array_equal(sample["net_0.5s.npy"], store.read("net_0.5s", [row])[0])


def test_a_killed_export_leaves_no_half_tar(store, tmp_path, monkeypatch):
    calls = []

    def die(self, *arguments):
        calls.append(1)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return plain(self, *arguments)

    plain = tarfile.TarFile.addfile
    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", die)
        with pytest.raises(KeyboardInterrupt):
            export_webdataset(store, tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["shard-000000.tar"]  # noqa: PTH208
    export_webdataset(store, tmp_path / "out")
    export_webdataset(store, tmp_path / "other")
    assert digests(tmp_path / "out") == digests(tmp_path / "other")


def test_what_cannot_be_exported_is_told(store, tmp_path, capsys):
    with pytest.raises(InvalidInput, match="has no array nose; there are: ear, net"):
        export_webdataset(store, tmp_path / "out", arrays=["nose", "ear"])
    export_webdataset(store, tmp_path / "out", clips_per_tar=2)
    with pytest.raises(InvalidInput, match=r"3 tars written, but shard-000003.tar is of another export"):
        export_webdataset(store, tmp_path / "out")
    assert parse_webdataset("avvp-eccv20") is None
    assert parse_webdataset("webdataset") == ()
    assert parse_webdataset("webdataset:ear,net") == ("ear", "net")
    for arguments, message in (
        (("--layout", "webdataset:"), "expected webdataset, or webdataset:NAME,NAME"),
        (("--layout", "valor", "--clips-per-tar", "3"), "--clips-per-tar is for --layout webdataset"),
    ):
        assert run("export", store.url, tmp_path / "x", *arguments) == 2
        assert message in capsys.readouterr().err
    assert run("export", store.url, "s3://bucket/out", "--layout", "webdataset") == 2
    assert "s3://bucket/out: an export is written to a folder on this machine" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_two_arrays_that_differ_by_case_alone(tmp_path):
    specs = [FeatureSpec(name, 2, 3, "audio", 0.5) for name in ("Net", "net")]
    store = toy.make(tmp_path / "s.zarr", specs=specs, kept=False)
    with pytest.raises(InvalidInput, match="Net and net are one name to WebDataset"):
        export_webdataset(store, tmp_path / "out")


def test_the_command_says_what_was_left_out(store, tmp_path, capsys):
    assert run("export", store.url, tmp_path / "out", "--layout", "webdataset", "--clips-per-tar", "5") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/out: 9 clips in 2 tars; 1 clip left out, e.g. {store.ids[3]}",
        "  ear: 9 clips",
        f"  net: 8 clips; 1 clip without, e.g. {store.ids[2]}",
        f"What failed and why: avvp status {store.url}",
    ]
