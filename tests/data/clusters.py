"""What tests of Dask and of Ray share: rows of a store, what they must be, and waiting."""

import hashlib
import json
import time
import urllib.request

from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from storage.clips import ClipTable

BACKBONES = ("toy_visual", "toy_audio")


def rows_of(store):
    """Digest of every file of a store that holds rows."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }


def rows_of_one_process(clips, store, *, shard_size=1):
    """The same of the store that one plain run makes."""
    options = ExtractOptions(BACKBONES, ("random:3",), clip_seconds=2, shard_size=shard_size, workers=1)
    extract(ClipTable.load(clips), str(store), options)
    return rows_of(store)


def wait_for(condition, *, seconds):
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not (came := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return came


def shards_done(store):
    """How many shards of the second array have been committed."""
    return len(list((store / "ledger" / BACKBONES[1]).glob("*.0001.json")))


def _asked(up, path, question):
    request = urllib.request.Request(
        up.environment["PREFECT_API_URL"] + path,
        data=json.dumps(question).encode(), headers={"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def newest_run(up):
    """The message of the state of the flow run that was made last, and its log lines."""
    run = _asked(up, "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})[0]
    lines = _asked(up, "/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200})
    return run["state"]["message"], [line["message"] for line in lines]
