"""The direct reader and writer against zarr itself."""

import os
import pickle
import threading

import numpy as np
import pytest
import zarr

from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput, StoreError
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features

CLIPS = 11
SHARD = 4
ORIGIN = Provenance("net", "1", "random:0", {}, "uniform")


def made(tmp_path, *, codec="blosc", dtype="float32", shards=(0, 1, 2)):
    table = ClipTable([Clip(f"clip {i}", f"/m/{i}.mp4") for i in range(CLIPS)])
    store = FeatureStore.create(str(tmp_path / "s.zarr"), table, shard_size=SHARD)
    store.ensure_feature(FeatureSpec("net", 5, 7, "visual", dtype=dtype), ORIGIN, codec=codec)
    every = np.random.default_rng(0).standard_normal((CLIPS, 5, 7)).astype(dtype)
    every[2], every[3, :3] = np.nan, 0
    for shard in shards:
        rows = store.shard_rows(shard)
        valid = ~np.isnan(every[rows.start : rows.stop, :, 0])
        with claim(store, ["net"], shard):
            commit_features(
                store, "net", shard, values=every[rows.start : rows.stop], valid=valid,
                rows=[Row(store.ids[row], "ok", stored=row != 2) for row in rows],
            )  # fmt: skip
    return FeatureStore.open(store.url), every


@pytest.mark.parametrize("codec", ["blosc", "zstd", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_zarr_reads_what_we_write(tmp_path, codec, dtype):
    store, every = made(tmp_path, codec=codec, dtype=dtype)
    group = zarr.open(store.url, mode="r")["features/net"]
    np.testing.assert_array_equal(group["values"][:], every)
    np.testing.assert_array_equal(group["valid"][:], ~np.isnan(every[..., 0]))
    assert group["values"][9].shape == (5, 7)


@pytest.mark.parametrize("codec", ["blosc", "zstd", "none"])
def test_we_read_what_zarr_writes(tmp_path, codec):
    store, every = made(tmp_path, codec=codec)
    again = FeatureStore.open(store.url, read_only=False)
    other = np.random.default_rng(1).random(every.shape, dtype=np.float32)
    zarr.open_array(f"{store.url}/features/net/values", mode="r+")[:] = other
    np.testing.assert_array_equal(again.direct("features/net/values").rows(0, CLIPS), other)
    with pytest.raises(StoreError, match="is not what was committed here"):  # the ledger knows nothing of them
        again.read("net")


def test_any_order_repeats_negative_and_ids(tmp_path):
    store, every = made(tmp_path)
    rows = [10, 0, -1, 0, 5, 3, 3]
    np.testing.assert_array_equal(store.read("net", rows), every[rows])
    np.testing.assert_array_equal(store.read("net", ["clip 7", "clip 0"]), every[[7, 0]])
    assert store.read("net", []).shape == (0, 5, 7)
    with pytest.raises(InvalidInput, match=r"no clip 'clip 77' .* for instance: clip 7"):
        store.read("net", ["clip 77"])
    with pytest.raises(IndexError, match="flatnonzero"):
        store.read("net", np.ones(CLIPS, dtype=bool))


def test_threads_read_at_the_same_time(tmp_path):
    store, every = made(tmp_path)
    wrong = []

    def read(seed):
        random = np.random.default_rng(seed)
        for _ in range(30):
            rows = random.integers(0, CLIPS, 6)
            if not np.array_equal(store.read("net", rows), every[rows], equal_nan=True):
                wrong.append(rows)
            if seed == 0:
                store.refresh()

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_reader_sees_later_commits(tmp_path):
    store, every = made(tmp_path, shards=(0,))
    assert np.isnan(store.read("net", [4])).all()
    writing = FeatureStore.open(store.url, read_only=False)
    with claim(writing, ["net"], 1):
        commit_features(
            writing, "net", 1, values=every[4:8], valid=np.ones((4, 5), bool),
            rows=[Row(f"clip {row}", "ok", stored=True) for row in range(4, 8)],
        )  # fmt: skip
    np.testing.assert_array_equal(store.read("net", [4]), every[[4]])


def test_a_store_travels_to_another_process(tmp_path):
    store, every = made(tmp_path)
    store.read("net")
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.read("net", [1]), every[[1]])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_reads(tmp_path):
    store, every = made(tmp_path)
    store.threads.count = 2
    store.read("net", [0, 5, 9])
    child = os.fork()
    if child == 0:
        ok = np.array_equal(store.read("net", [9, 0, 5]), every[[9, 0, 5]])
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_damage_is_named_and_never_read(tmp_path):
    store, _ = made(tmp_path)
    file = tmp_path / "s.zarr/features/net/values/c/1/0/0"
    data = bytearray(file.read_bytes())
    data[10] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreError, match=r"row 4: .*features/net/values.*crc32c is wrong"):
        store.read("net", [4])
    assert store.read("net", [5]).shape == (1, 5, 7)
    file.write_bytes(data[:20])
    with pytest.raises(StoreError, match=r"c/1/0/0: has 20 bytes, less than its index takes"):
        store.read("net", [5])
    file.unlink()
    with pytest.raises(StoreError, match=r"c/1/0/0: is missing"):
        store.read("net", [5])


def test_an_unknown_codec_is_refused(tmp_path):
    store, _ = made(tmp_path)
    with pytest.raises(InvalidInput, match="codec 'lz9': expected one of auto, blosc, zstd, none"):
        FeatureStore.open(store.url, read_only=False).ensure_feature(
            FeatureSpec("b", 1, 1, "audio"), ORIGIN, codec="lz9"
        )
