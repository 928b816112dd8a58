"""Many processes on one store: a shard has one writer, and what reads as done is done."""

import json
import multiprocessing
import os

import numpy as np
import pytest
import toy_store as toy

from pipeline.exchange.verify import verify
from storage.errors import ShardLocked
from storage.ledger import Row
from storage.store import FeatureStore
from storage.writer import claim, commit_features

ROUNDS = int(os.environ.get("AVVP_RACE_ROUNDS", "8"))
WORKERS = 5


def work(url, seed):
    """Make the store, the arrays and all shards, in an order of one's own, beside others who do the same."""
    random = np.random.default_rng(seed)
    store = FeatureStore.open_or_create(url, toy.table(), shard_size=toy.SHARD)
    for spec in random.permutation(np.array(toy.SPECS, dtype=object)):
        store.ensure_feature(spec, toy.origin(spec.name))
    todo = [(spec, shard) for spec in toy.SPECS for shard in range(store.shards)] * 2
    for place in random.permutation(len(todo)):
        spec, shard = todo[place]
        ids = [store.ids[row] for row in store.shard_rows(shard)]
        values = np.stack([toy.values_of(name, spec) for name in ids])
        rows = [Row(name, "ok", stored=True, clip_fingerprint=name, decoder=str(seed)) for name in ids]
        try:
            with claim(store, [spec.name], shard):
                mask = np.ones(values.shape[:2], bool)
                commit_features(store, spec.name, shard, values=values, valid=mask, rows=rows)
        except ShardLocked:
            continue


def race(url):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(url, seed)) for seed in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * WORKERS


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_racing_processes_leave_a_whole_store(tmp_path):
    for number in range(ROUNDS):
        url = str(tmp_path / f"{number}.zarr")
        race(url)
        assert verify(url, deep=True).problems == []
        store = FeatureStore.open(url)
        for spec in toy.SPECS:
            expected = np.stack([toy.values_of(name, spec) for name in store.ids])
            np.testing.assert_array_equal(store.read(spec.name), expected)
            for shard, state in store.ledger(spec.name).states().items():
                numbers = sorted(
                    int(name.split(".")[1]) for name in store.root.names(f"ledger/{spec.name}")
                    if name.startswith(f"{shard:05d}.") and name.endswith(".json")
                )  # fmt: skip
                assert numbers == list(range(1, state.commit + 1))  # no commit was lost or written twice


def test_a_lease_is_taken_over_only_from_the_dead(tmp_path, monkeypatch):
    from storage.files import lease

    store = toy.make(f"memory://{tmp_path.name}/s.zarr", kept=False)
    other = FeatureStore.open(store.url, read_only=False)
    with claim(store, ["net"], 0):
        with pytest.raises(ShardLocked), claim(other, ["net"], 0):
            pass
        with claim(other, ["net"], 1):
            pass
    with claim(other, ["net"], 0):
        pass
    left = json.dumps({"token": "x", "beat": 1, "process": {"machine": "another", "pid": 1, "started": "1"}}).encode()
    store.root.put("ledger/net/00000.lock.000001", left)
    with pytest.raises(ShardLocked), claim(store, ["net"], 0):
        pass
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    with claim(store, ["net"], 0):
        assert store.root.names("ledger/net")[1] == "00000.lock.000002"
    assert not any(".lock" in name for name in store.root.names("ledger/net"))


def test_a_dead_process_of_this_machine_holds_nothing(tmp_path):
    from storage.files import lease

    store = toy.make(f"memory://{tmp_path.name}/s.zarr", kept=False)
    process = {"machine": lease._machine(), "pid": 2**22 + 1, "started": "77"}
    if not process["machine"]:
        pytest.skip("this system does not say which machine it is")
    store.root.put("ledger/net/00000.lock.000003", json.dumps({"token": "x", "beat": 9, "process": process}).encode())
    with claim(store, ["net"], 0):
        pass


def test_who_lost_the_lease_does_not_commit(tmp_path):
    store = toy.make(f"memory://{tmp_path.name}/s.zarr", kept=False)
    before = store.read("net", [0])
    with claim(store, ["net"], 0):
        taken = json.dumps({"token": "other", "beat": 1, "process": {}}).encode()
        store.root.put("ledger/net/00000.lock.000002", taken)
        with pytest.raises(ShardLocked, match="lost"):
            commit_features(
                store, "net", 0, values=np.zeros((4, 6, 32), np.float32), valid=np.ones((4, 6), bool),
                rows=[Row(store.ids[row], "ok", stored=True) for row in range(4)],
            )  # fmt: skip
    np.testing.assert_array_equal(store.read("net", [0]), before)
    assert store.root.read("ledger/net/00000.lock.000002") == taken
