"""A store in a real S3 server on loopback: extract, kill, resume, verify, repair, read in a trainer's order."""

import os
import tarfile
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest
import toy_store as toy

from pipeline.exchange.verify import verify
from storage.errors import ShardLocked, StoreError
from storage.files import lease
from storage.ledger import Ledger, Row
from storage.store import FeatureStore
from storage.writer import claim, commit_features, commit_rows

moto_server = pytest.importorskip("moto.server", reason="moto is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")

BUCKET = "features"
COMMAND = (
    "--backbone", "toy_visual", "--backbone", "toy_audio", "--weights", "random:3", "--clip-seconds", "2",
    "--shard-size", "2", "--workers", "1",
)  # fmt: skip


@pytest.fixture(scope="module")
def server():
    running = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """The environment of a user of this server; gives its variables."""
    import boto3
    import s3fs

    variables = {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)
    yield variables
    s3fs.S3FileSystem.clear_instance_cache()


def committed(url, array="toy_visual"):
    try:
        return len(Ledger(FeatureStore.open(url).root, array).states())
    except Exception:  # noqa: BLE001 - not there yet
        return 0


@pytest.mark.slow
def test_extract_kill_resume_verify_and_read(s3, avvp_process, six_clips, tmp_path):
    url = f"s3://{BUCKET}/{tmp_path.name}/s.zarr"
    process = avvp_process("extract", "--clips", six_clips, "--store", url, *COMMAND, TOY_SLEEP="0.5")
    give_up = time.monotonic() + 60
    while committed(url) < 1 and time.monotonic() < give_up and process.poll() is None:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(20)
    psutil.wait_procs(children, timeout=20)
    assert 1 <= committed(url) < 3
    first = FeatureStore.open(url).ledger("toy_visual").read(0, 1)

    again = avvp_process("extract", "--clips", six_clips, "--store", url, *COMMAND)
    assert again.wait(120) == 0, (tmp_path / "log.txt").read_text()[-2000:]
    local = tmp_path / "local.zarr"
    assert avvp_process("extract", "--clips", six_clips, "--store", local, *COMMAND).wait(120) == 0
    far, near = FeatureStore.open(url), FeatureStore.open(local)
    assert far.ledger("toy_visual").newest()[0] == first  # what was done was not done again
    for name in ("toy_visual", "toy_audio"):
        np.testing.assert_array_equal(far.read(name), near.read(name))
        np.testing.assert_array_equal(far.read(name, [5, 0, 3]), near.read(name, [5, 0, 3]))
    assert verify(url, deep=True).problems == []

    key = "features/toy_visual/values/c/1/0/0"
    data = bytearray(far.root.read(key))
    data[3] ^= 1
    far.root.put(key, bytes(data))
    assert avvp_process("verify", url, "--deep").wait(60) == 3
    assert avvp_process("verify", url, "--deep", "--repair").wait(60) == 0
    assert avvp_process("extract", "--clips", six_clips, "--store", url, *COMMAND).wait(120) == 0
    np.testing.assert_array_equal(FeatureStore.open(url).read("toy_visual"), near.read("toy_visual"))


def test_a_bucket_that_is_not_there_is_one_line(s3, avvp, six_clips):
    code, _, err = avvp("extract", "--clips", six_clips, "--store", "s3://nowhere/s.zarr", *COMMAND)
    assert code == 2
    assert err.count("\n") == 1
    assert "s3://nowhere/s.zarr: no such bucket" in err
    code, _, err = avvp("status", "s3://nowhere/s.zarr")
    assert (code, err.count("\n")) == (2, 1)


def test_missing_credentials_are_one_line(s3, avvp, six_clips, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, _, err = avvp("extract", "--clips", six_clips, "--store", f"s3://{BUCKET}/x.zarr", *COMMAND)
    assert (code, err.count("\n")) == (2, 1)
    assert "no credentials" in err


def test_a_server_that_does_not_answer_is_one_line(s3, avvp, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    code, _, err = avvp("status", f"s3://{BUCKET}/x.zarr")
    assert (code, err.count("\n")) == (2, 1)
    assert "127.0.0.1:9" in err or "the storage did not do it" in err


def test_conditional_puts_hold(s3):
    from storage.errors import ShardLocked
    from storage.files.opening import open_root

    root = open_root(f"s3://{BUCKET}/{os.getpid()}/c")
    root.put_new("a", b"1")
    with pytest.raises(ShardLocked):
        root.put_new("a", b"2")
    assert root.read("a") == b"1"


@pytest.fixture
def videos(s3, six_clips, tmp_path):
    """A folder of videos in the bucket, and a tar of them beside it; gives the folder's address."""
    import boto3

    client, prefix = boto3.client("s3"), tmp_path.name
    with tarfile.open(tmp_path / "six.tar", "w") as tar:
        for path in sorted(six_clips.iterdir()):
            client.upload_file(str(path), BUCKET, f"{prefix}/videos/{path.name}")
            tar.add(path, path.name)
    client.upload_file(str(tmp_path / "six.tar"), BUCKET, f"{prefix}/tars/six.tar")
    return f"s3://{BUCKET}/{prefix}"


def test_clips_in_a_bucket_give_the_same_bits(videos, avvp, six_clips, tmp_path):
    assert avvp("extract", "--clips", six_clips, "--store", tmp_path / "files.zarr", *COMMAND)[0] == 0
    near = FeatureStore.open(str(tmp_path / "files.zarr"))
    for name, clips in (("videos", f"{videos}/videos"), ("tar", f"{videos}/tars/*.tar")):
        code, out, err = avvp("extract", "--clips", clips, "--store", tmp_path / f"{name}.zarr", *COMMAND)
        assert code == 0, out + err
        far = FeatureStore.open(str(tmp_path / f"{name}.zarr"))
        assert far.ids == near.ids
        np.testing.assert_array_equal(far.read("toy_visual"), near.read("toy_visual"))
        rows = [store.ledger("toy_visual").read(0, 1).rows for store in (far, near)]
        assert [row.clip_fingerprint for row in rows[0]] == [row.clip_fingerprint for row in rows[1]]
        code, out, err = avvp("extract", "--clips", clips, "--store", tmp_path / f"{name}.zarr", *COMMAND)
        assert code == 0
        assert "nothing to do" in out


def test_what_a_bucket_does_not_have_or_give_is_a_status(videos, avvp, tmp_path, monkeypatch):
    rows = [f"{videos}/videos/0 red.mp4", f"{videos}/no.mp4", "s3://nowhere/a.mp4", f"tar://no.mp4::{videos}/tars/six.tar",
            f"tar://a.mp4::{videos}/no.tar"]  # fmt: skip
    (tmp_path / "t.csv").write_text("path,id\n" + "".join(f"{row},{at}\n" for at, row in enumerate(rows)))
    command = ("extract", "--clips", tmp_path / "t.csv", "--store", tmp_path / "s.zarr", *COMMAND)
    code, out, err = avvp(*command)
    assert code == 3, out + err
    rows = [row for record in FeatureStore.open(str(tmp_path / "s.zarr")).ledger("toy_visual").newest().values()
            for row in record.rows]  # fmt: skip
    assert [row.status for row in rows] == ["ok", *["missing"] * 4]
    assert {row.reason for row in rows[1:3]} == {"no such object, or no such bucket"}
    assert rows[3].reason == "the tar has no file of this name"
    assert rows[4].reason == "its tar: no such object, or no such bucket"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, out, err = avvp(*command, "--retry-failed")
    assert code == 3
    rows = [row for record in FeatureStore.open(str(tmp_path / "s.zarr")).ledger("toy_visual").newest().values()
            for row in record.rows]  # fmt: skip
    assert [row.status for row in rows] == ["ok", *["unreadable"] * 4]
    assert rows[1].reason.startswith("no credentials for this storage")


def rows_of(store, shard, add=0.0):
    values = np.stack([toy.values_of(store.ids[row], toy.SPECS[0]) for row in store.shard_rows(shard)]) + add
    rows = [Row(store.ids[row], "ok", stored=True, clip_fingerprint=store.ids[row]) for row in store.shard_rows(shard)]
    return {"values": values.astype(np.float32), "valid": np.ones(values.shape[:2], bool), "rows": rows}


@pytest.mark.parametrize("shard", [0, 1], ids=["over a commit", "first commit"])
@pytest.mark.parametrize("same", [True, False], ids=["equal rows", "other rows"])
def test_a_lease_that_is_lost_in_mid_commit(s3, tmp_path, monkeypatch, shard, same):
    """A writer is held up for too long, another one takes its shard and commits; then the first one goes on."""
    store = toy.make(f"s3://{BUCKET}/{tmp_path.name}.zarr", shards=[0], kept=False, specs=toy.SPECS[:1])
    other = FeatureStore.open(store.url, read_only=False)
    mine, theirs = rows_of(store, shard, add=0.0 if same else 1.0), rows_of(store, shard)

    def make(at):
        if at == 1:
            monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
            with suppress(ShardLocked), claim(other, ["net"], shard):  # sees the lease for the first time
                pytest.fail("was given away at once")
            with claim(other, ["net"], shard):
                commit_features(other, "net", shard, **theirs)
        return mine["values"][at]

    store.threads.count = 1
    with pytest.raises(ShardLocked, match="the lock was lost"), claim(store, ["net"], shard):
        commit_rows(store, "net", shard, make=make, outcome=lambda: (mine["valid"], mine["rows"]))
    again = FeatureStore.open(store.url)
    assert again.ledger("net").states()[shard].commit == (2 if shard == 0 else 1)
    assert not any(".lock" in name for name in store.root.names("ledger/net"))
    if same:
        np.testing.assert_array_equal(again.read("net", [*again.shard_rows(shard)]), theirs["values"])
        assert verify(store.url, deep=True).problems == []
        return
    with pytest.raises(StoreError, match="is not what was committed here"):  # told, and never read as the record's rows
        again.read("net", [*again.shard_rows(shard)])
    assert {problem.shard for problem in verify(store.url).problems} == {shard}


def test_credentials_are_in_no_message_and_no_file(s3, avvp, six_clips, tmp_path, monkeypatch):
    import fsspec

    secret = "dont+tell/anybody"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    url = f"s3://{BUCKET}/{tmp_path.name}-quiet.zarr"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    said = [avvp(*command) for command in (
        ["extract", "--clips", six_clips, "--store", url, *COMMAND],
        ["status", url, "--json"],
        ["inspect", url, "toy_visual"],
        ["verify", url, "--json"],
    )]  # fmt: skip
    assert [code for code, *_ in said] == [0, 0, 0, 0]
    files = fsspec.filesystem("s3")
    kept = b"".join(files.cat(path) for path in files.find(url))
    assert secret not in repr(said)
    assert secret.encode() not in kept


@pytest.mark.parametrize("command", ["status", "verify", "inspect"])
def test_an_address_with_a_password_is_refused_without_showing_it(avvp, command):
    code, out, err = avvp(command, "s3://AKIAKEY:dont+tell/anybody@features/x.zarr")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "s3://***@features/x.zarr: an address with a password would be kept in runs and shown in logs" in err
    assert "anybody" not in err
    assert "AKIAKEY" not in err


def test_the_password_of_an_endpoint_is_not_shown(s3, avvp, monkeypatch):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hidden@127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    code, out, err = avvp("status", f"s3://{BUCKET}/x.zarr")
    assert (code, out) == (2, ""), err
    assert "hidden" not in err
