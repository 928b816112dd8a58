"""Shards that come one by one, as tasks of one engine; exceptions on their way to the parent."""

import errno
import threading
from multiprocessing.connection import Pipe

import pytest

from pipeline.extraction.decode_pools import DecodePools
from pipeline.extraction.fill import Run, open_engine
from pipeline.extraction.fleet.problems import packed, unpacked
from pipeline.extraction.fleet.shard_feed import ShardFeed
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.preparation import prepare
from storage.clips import Clip, ClipTable
from storage.errors import StoreError


@pytest.fixture
def wide_batches(toys, monkeypatch):
    """Batches that hold all units of the test: they run when somebody flushes them, and not before."""
    import toy_backbones

    monkeypatch.setattr(toy_backbones.Toy, "cpu_batch", 1000)


def run_engine(table, url, meanwhile):
    """Hand in shards 0 and 1, run an engine while there is work, then call ``meanwhile`` and run it once more."""
    ours, theirs = Pipe()
    feed = ShardFeed(theirs)
    chosen = ExtractOptions(("toy_visual",), ("random:1",), clip_seconds=2, shard_size=3, workers=2, engine="torch")
    prepared = prepare(table, url, chosen)
    for shard in (0, 1):
        ours.send(shard)
    with DecodePools() as pools:
        planned = feed.next(prepared)
        run = Run(prepared, feed, {}, pools)
        with open_engine(run, planned.group, planned.group.chosen) as engine:
            arrays = planned.group.filled_by(planned.group.chosen)
            for step in (lambda: None, lambda: meanwhile(ours)):
                step()
                while feed.next(prepared) is not None:
                    engine.run(feed.tasks(prepared, planned.group, arrays), locked=pytest.fail)
    said = []
    while ours.poll():
        said.append(ours.recv())
    return [(shard, what) for shard, what, _ in said if what in ("clip_read", "clip_done", "shard_done", "finished")]


def test_the_last_clips_of_a_shard_share_a_batch_with_the_next_ones(wide_batches, six_clips, tmp_path):
    paths = sorted(six_clips.iterdir())
    table = ClipTable([Clip(f"{number}", str(paths[number % 6])) for number in range(9)])
    said = run_engine(table, str(tmp_path / "s.zarr"), lambda pipe: pipe.send(2))
    assert sorted(said[:6]) == [(0, "clip_read")] * 3 + [(1, "clip_read")] * 3, "nothing is flushed while there is more"
    assert sorted(said[6:16]) == sorted(
        [(shard, what) for shard in (0, 1) for what in ["clip_done"] * 3 + ["shard_done", "finished"]]
    ), "it is when there is no more"
    assert said[16:] == [(2, "clip_read")] * 3 + [(2, "clip_done")] * 3 + [(2, "shard_done"), (2, "finished")]


def test_a_shard_that_is_done_is_finished_at_once(toys, six_clips, tmp_path):
    table = ClipTable.load(six_clips)
    said = run_engine(table, str(tmp_path / "s.zarr"), lambda pipe: pipe.send(0))
    assert said[-1] == (0, "finished")
    assert said.count((0, "shard_done")) == 1


class Odd(Exception):
    """Cannot be made again from what it was pickled as."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_an_exception_arrives_with_what_it_came_from():
    refused = StoreError("s3")
    refused.__cause__ = ConnectionResetError(errno.ECONNRESET, "reset")
    found = unpacked(packed(refused))
    assert (type(found), str(found), type(found.__cause__)) == (StoreError, "s3", ConnectionResetError)
    assert found.__cause__.errno == errno.ECONNRESET


def test_an_exception_that_cannot_travel_keeps_its_words_and_traceback():
    try:
        raise Odd("this", "that")
    except Odd as problem:
        found = unpacked(packed(problem))
    assert (type(found), str(found)) == (RuntimeError, "Odd: this and that")
    assert 'raise Odd("this", "that")' in found.__notes__[0]


def test_an_exception_that_cannot_be_pickled_keeps_its_words():
    found = unpacked(packed(ValueError("locked", threading.Lock())))
    assert type(found) is RuntimeError
    assert str(found).startswith("ValueError: ('locked', ")
