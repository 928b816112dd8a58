"""How many requests a commit to a bucket takes: as many in a ledger of a thousand records as in an empty one."""

import logging
from dataclasses import replace

import pytest
import toy_store as toy

from storage.store import FeatureStore

moto_server = pytest.importorskip("moto.server", reason="moto is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")
BUCKET = "counted"
SPEC = toy.SPECS[1]


class Counter(logging.Handler):
    """The server logs a line for each request."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def during(self, work):
        self.lines.clear()
        work()
        return len(self.lines)


@pytest.fixture
def bucket(monkeypatch):
    import boto3
    import s3fs

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_commit_takes_as_many_requests_however_full_the_ledger_is(bucket):
    url = f"s3://{BUCKET}/s.zarr"
    store = FeatureStore.open_or_create(url, toy.table(6), shard_size=1)
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    store.ledger(SPEC.name).states()
    counter, log = Counter(), logging.getLogger("werkzeug")
    level = log.level
    log.addHandler(counter)
    log.setLevel(logging.INFO)
    try:
        toy.fill(store, SPEC, shards=[0])
        few = counter.during(lambda: toy.fill(store, SPEC, shards=[1]))
        again = counter.during(lambda: toy.fill(store, SPEC, shards=[1]))
        record = store.ledger(SPEC.name).read(0, 1)
        for shard in range(10, 1_210):  # two pages of a listing
            ledger = store.ledger(SPEC.name)
            bucket.put_object(
                Bucket=BUCKET, Key=f"s.zarr/{ledger.key(shard, 1)}", Body=replace(record, shard=shard).to_bytes()
            )
        many = counter.during(lambda: toy.fill(store, SPEC, shards=[2]))
        over = counter.during(lambda: toy.fill(store, SPEC, shards=[2]))
    finally:
        log.removeHandler(counter)
        log.setLevel(level)
    assert few == many
    assert again == over
    assert 10 < few < 60
