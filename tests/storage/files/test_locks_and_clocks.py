"""Disks without locks, and clocks that are set back while a process runs."""

import errno
import fcntl
import os
import time

import numpy as np
import pytest
import toy_store as toy

from pipeline.cli.main import main
from storage.errors import InvalidInput, ShardLocked
from storage.files import lease, local
from storage.ledger import Row
from storage.store import FeatureStore
from storage.writer import claim, commit_features

DAY = 86_400


@pytest.fixture
def lockless(monkeypatch):
    """A file system that refuses flock."""

    def refuse(number):
        def flock(*arguments):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_disk_without_locks_is_refused_before_anything_is_written(tmp_path, lockless, number):
    lockless(number)
    with pytest.raises(InvalidInput, match=r"create\.lock: this disk gives no locks \(.+\), without which two writers"):
        FeatureStore.create(str(tmp_path / "s.zarr"), toy.table())
    assert [path.name for path in (tmp_path / "s.zarr").iterdir()] == ["create.lock"]


def test_no_shard_is_written_without_its_lock_and_reading_needs_none(tmp_path, lockless, capsys):
    store = toy.make(tmp_path / "s.zarr", kept=False)
    lockless(errno.ENOLCK)
    with pytest.raises(InvalidInput, match="this disk gives no locks"), claim(store, ["net"], 0):
        pass
    assert FeatureStore.open(store.url).read("net").shape == (10, 6, 32)
    with pytest.raises(SystemExit) as ended:
        main(["verify", store.url])
    assert ended.value.code == 0
    capsys.readouterr()


def test_a_download_without_locks_is_one_line(tmp_path, lockless, capsys):
    pytest.importorskip("yt_dlp")
    (tmp_path / "t.csv").write_text("id,start_seconds,end_seconds\na,0,2\n")
    lockless(errno.ENOLCK)
    with pytest.raises(SystemExit) as ended:
        main(["download", str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "this disk gives no locks" in capsys.readouterr().err


def test_a_clock_set_back_hides_no_commit(tmp_path, monkeypatch):
    """Folders whose time lies ahead are listed each time: nothing is taken from memory."""
    store = toy.make(tmp_path / "s.zarr", shards=[0], kept=False)
    reader = FeatureStore.open(store.url)
    true = time.time_ns
    monkeypatch.setattr(local.time, "time_ns", lambda: true() - DAY * 10**9)
    assert reader.committed("net").tolist() == [True] * 4 + [False] * 6
    toy.fill(store, toy.SPECS[0], [1])
    assert reader.committed("net").tolist() == [True] * 8 + [False] * 2


def test_a_clock_set_back_after_a_commit_in_the_same_moment(tmp_path):
    """The folder keeps its time; a version is only reused when the folder has been left alone for a while."""
    store = toy.make(tmp_path / "s.zarr", shards=[0], kept=False)
    folder = tmp_path / "s.zarr/ledger/net"
    for seconds in (-DAY, DAY):
        os.utime(folder, (time.time() + seconds, time.time() + seconds))
        before = store.root.version("ledger/net")
        assert (before == store.root.version("ledger/net")) == (seconds < 0)


def test_leases_do_not_look_at_the_clock_of_the_day(tmp_path, monkeypatch):
    """A holder's signs of life are counted on one's own steady clock, whatever time of day it is."""
    store = toy.make(f"memory://{tmp_path.name}/s.zarr", kept=False)
    other = FeatureStore.open(store.url, read_only=False)
    true = time.time
    with claim(store, ["net"], 0):
        for seconds in (-DAY, DAY):
            monkeypatch.setattr(lease.time, "time", lambda by=seconds: true() + by)
            with pytest.raises(ShardLocked), claim(other, ["net"], 0):
                pass
        values = np.zeros((4, 6, 32), np.float32)
        rows = [Row(store.ids[row], "ok", stored=True) for row in range(4)]
        commit_features(store, "net", 0, values=values, valid=np.ones((4, 6), bool), rows=rows)
    assert (store.read("net", [0]) == 0).all()
